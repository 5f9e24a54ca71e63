"""What a judge is, and the two there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_online_tasks.emulator.judges.code import (
    CodeEvaluator,
    run_code_evaluator,
)
from airflow_provider_online_tasks.emulator.judges.offline import OfflineJudge
from airflow_provider_online_tasks.emulator.judges.openai import OpenAIJudge
from airflow_provider_online_tasks.emulator.judges.span_text import fill_template
from airflow_provider_online_tasks.emulator.judges.verdict import JudgeError, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CodeEvaluator",
    "Judge",
    "JudgeError",
    "OfflineJudge",
    "OpenAIJudge",
    "Verdict",
    "fill_template",
    "run_code_evaluator",
]


class Judge(Protocol):
    """Chooses one of the rails for a span."""

    def judge(
        self,
        *,
        template: str,
        prompt: str,
        rails: Sequence[str],
        choices: Mapping[str, float] | None,
        explain: bool,
        span: Mapping[str, Any],
    ) -> Verdict:
        """
        Return the verdict on a span.

        :param template: the evaluator's template as written.
        :param prompt: the template filled from the span.
        :param rails: the labels to choose from.
        :param choices: scores by label, where the evaluator has them.
        :param explain: whether an explanation is wanted.
        :param span: the span itself.
        :raises JudgeError: if no label could be given.
        """
        ...

"""The emulator's evaluators in one place: what a judge is, the two there are, and the built-in Eval Hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

from airflow_provider_online_tasks.emulator.judges.code import (
    CODE_RAILS,
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
    "HUB_EVALUATORS",
    "CodeEvaluator",
    "HubEvaluator",
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


class HubEvaluator(NamedTuple):
    """An evaluator that the emulator's Eval Hub holds from the start."""

    name: str
    kind: Literal["template", "code"]
    template: str | None
    rails: tuple[str, ...]
    choices: dict[str, float] | None


HUB_EVALUATORS: Final = (
    HubEvaluator(
        name="correctness",
        kind="template",
        template="Question: {input}\nHelp pages: {reference}\nAnswer: {output}\n"
        "Is the answer correct according to the help pages?",
        rails=("incorrect", "correct"),
        choices={"incorrect": 0.0, "correct": 1.0},
    ),
    HubEvaluator(
        name="hallucination",
        kind="template",
        template="Question: {input}\nHelp pages: {reference}\nAnswer: {output}\n"
        "Does the answer state anything that the help pages do not?",
        rails=("hallucinated", "factual"),
        choices={"hallucinated": 0.0, "factual": 1.0},
    ),
    HubEvaluator(
        name="relevance",
        kind="template",
        template="Question: {input}\nDocuments: {reference}\nDo the documents help to answer the question?",
        rails=("irrelevant", "relevant"),
        choices={"irrelevant": 0.0, "relevant": 1.0},
    ),
    HubEvaluator(name="output_present", kind="code", template=None, rails=CODE_RAILS, choices=None),
    HubEvaluator(name="json_parseable", kind="code", template=None, rails=CODE_RAILS, choices=None),
)

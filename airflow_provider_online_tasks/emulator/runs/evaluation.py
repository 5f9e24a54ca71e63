"""What the evaluators of a task say about a span."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_online_tasks.emulator.judges.judge import JudgeError, fill_template, run_code_evaluator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_online_tasks.emulator.judges.judge import Judge, Verdict
    from airflow_provider_online_tasks.emulator.runs.tasks import Evaluator


class Evaluation(NamedTuple):
    """A verdict on a span."""

    evaluator: Evaluator
    span_id: str
    verdict: Verdict


def evaluate(
    judge: Judge, span: Mapping[str, Any], evaluators: Sequence[Evaluator]
) -> list[Evaluation] | None:
    """Return the verdicts on a span, or None where one of them could not be had."""
    try:
        return [Evaluation(each, span["span_id"], _verdict(judge, each, span)) for each in evaluators]
    except JudgeError:
        return None


def _verdict(judge: Judge, evaluator: Evaluator, span: Mapping[str, Any]) -> Verdict:
    if evaluator.kind == "code":
        return run_code_evaluator(evaluator.code_name, span, evaluator.parameters)
    template = _mapped(evaluator.template or "", evaluator.column_mappings or {})
    return judge.judge(
        template=template,
        prompt=fill_template(template, span),
        rails=evaluator.rails,
        choices=evaluator.choices,
        explain=evaluator.explain,
        span=span,
    )


def _mapped(template: str, columns: Mapping[str, str]) -> str:
    """Write the columns that variables are mapped to into a template, in place of the variables."""

    def column(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return f"{{{columns[name]}}}" if name in columns else match[0]

    return re.sub(r"\{\{\s*([\w.]+)\s*\}\}|\{\s*([\w.]+)\s*\}", column, template)

"""All kinds of evaluators, and how the evaluators of a task evaluate a span, a trace or a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from airflow_provider_online_tasks.emulator.evaluators.code import CodeKind
from airflow_provider_online_tasks.emulator.evaluators.models import (
    Evaluation,
    EvaluationError,
    Evaluator,
    Kind,
    NoValueError,
)
from airflow_provider_online_tasks.emulator.evaluators.template import TemplateKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.evaluators.models import Judge
    from airflow_provider_online_tasks.emulator.spans.units import Unit

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in (TemplateKind(), CodeKind())}
KIND_OF_TYPE: Final = {kind.hub_type: kind for kind in KINDS.values()}


class Outcome(NamedTuple):
    """The result for one unit.

    :param evaluations: the evaluators with their evaluations.
    :param failed: whether an evaluator failed; the other evaluations are discarded.
    :param note: why there is no evaluation, for the page.
    """

    evaluations: list[tuple[Evaluator, Evaluation]]
    failed: bool = False
    note: str | None = None


def evaluate(
    judge: Judge,
    unit: Unit,
    evaluators: Sequence[Evaluator],
    queries: Mapping[str, Collection[str]],
    *,
    lenient: bool,
) -> Outcome:
    """Return the result of evaluators for a unit; without any evaluation, it is skipped."""
    evaluations: list[tuple[Evaluator, Evaluation]] = []
    note = None
    for evaluator in evaluators:
        try:
            result = KINDS[evaluator.kind].evaluate(judge, evaluator, unit, queries, lenient=lenient)
        except NoValueError as error:
            note = str(error)
        except EvaluationError as error:
            return Outcome([], failed=True, note=str(error))
        else:
            evaluations.append((evaluator, result))
    return Outcome(evaluations, note=note)

"""All kinds of evaluators, and how the evaluators of a task evaluate a span, a trace or a session.

A new kind is a class with the attributes and methods of the two kinds below, and an entry in ``KINDS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from airflow_provider_online_tasks.emulator.evaluators import models
from airflow_provider_online_tasks.emulator.evaluators.code import CodeKind
from airflow_provider_online_tasks.emulator.evaluators.template import TemplateKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_online_tasks.emulator.spans.values import Unit

Kind = TemplateKind | CodeKind
KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in (TemplateKind(), CodeKind())}
KIND_OF_TYPE: Final = {kind.hub_type: kind for kind in KINDS.values()}


class Outcome(NamedTuple):
    """The result for one span, trace or session."""

    evaluations: list[tuple[models.Evaluator, models.Evaluation]]
    failed: bool = False
    note: str | None = None


def evaluate(
    unit: Unit, evaluators: Iterable[models.Evaluator], queries: Mapping[str, Collection[str]]
) -> Outcome:
    """Return the result of evaluators; without any evaluation, the unit is skipped."""
    evaluations: list[tuple[models.Evaluator, models.Evaluation]] = []
    note = None
    for evaluator in evaluators:
        try:
            evaluations.append((evaluator, KINDS[evaluator.kind].evaluate(evaluator, unit, queries)))
        except models.NoValueError as error:
            note = str(error)
        except models.EvaluationError as error:
            return Outcome([], failed=True, note=str(error))
    return Outcome(evaluations, note=note)

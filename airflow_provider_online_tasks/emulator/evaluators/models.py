"""An evaluator as it is attached to a task, and what it returns."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

Granularity = Literal["span", "trace", "session"]
GRANULARITIES: tuple[Granularity, ...] = ("span", "trace", "session")


@dataclasses.dataclass(kw_only=True)
class Evaluator:
    """An evaluator of a task: inline, or from the Eval Hub.

    The definition of an Eval Hub evaluator is that of its version when a run starts.
    """

    name: str
    kind: str
    position: int = 0
    granularity: str = "span"
    # Template evaluators.
    template: str | None = None
    rails: list[str] = dataclasses.field(default_factory=list)
    choices: dict[str, float] | None = None
    explain: bool = True
    llm: dict[str, Any] | None = None  # None: that of the task
    # Code evaluators.
    evaluation_class: str | None = None
    code: str | None = None
    imports: str | None = None
    variables: list[str] = dataclasses.field(default_factory=list)
    parameters: dict[str, Any] | None = None
    # The attachment to a task.
    query_filter: str | None = None
    column_mappings: dict[str, str] | None = None
    query_mappings: list[dict[str, Any]] | None = None
    # Eval Hub evaluators.
    hub_name: str | None = None
    evaluator_id: str | None = None
    evaluator_version_id: str | None = None
    definition_filter: str | None = None

    @property
    def filters(self) -> tuple[str | None, str | None]:
        """The filters of the attachment and of the definition; a span must match both."""
        return self.query_filter, self.definition_filter

    @property
    def code_name(self) -> str:
        """The code that evaluates: the class of an inline code evaluator, else the evaluator's name."""
        return self.evaluation_class or self.name


class Evaluation(NamedTuple):
    """The result of an evaluator."""

    label: str
    score: float | None
    explanation: str | None


class Rejection(NamedTuple):
    """Why a run of an evaluator ends before it evaluates anything."""

    outcome: Literal["fail", "cancel"]
    reason: str


class NoValueError(Exception):
    """A variable has no value: the span, trace or session is skipped."""


class EvaluationError(Exception):
    """The evaluator returned no label; the span counts as an error of its run."""

"""An evaluator as it is attached to a task, and what one says about a span, a trace or a session."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple

Granularity = Literal["span", "trace", "session"]
GRANULARITIES: tuple[Granularity, ...] = ("span", "trace", "session")


@dataclasses.dataclass(kw_only=True)
class Evaluator:
    """An evaluator of a task: inline, or of the Eval Hub.

    What belongs to an evaluator of the Eval Hub itself is what its version says when a run begins.
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
    llm: dict[str, Any] | None = None
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
    # Only for evaluators of the Eval Hub.
    hub_name: str | None = None
    evaluator_id: str | None = None
    evaluator_version_id: str | None = None
    definition_filter: str | None = None

    @property
    def filters(self) -> tuple[str | None, str | None]:
        """The filters of the attachment and of the definition: a span has to match both."""
        return self.query_filter, self.definition_filter

    @property
    def code_name(self) -> str:
        """The code that evaluates: the class of an inline code evaluator, else the evaluator's own name."""
        return self.evaluation_class or self.name


class Trouble(NamedTuple):
    """Why a run of an evaluator ends before it evaluates anything."""

    status: Literal["FAILED", "CANCELLED"]
    reason: str


class NotResolvedError(Exception):
    """A variable of the template has no value: the span, trace or session is skipped."""

"""An evaluator as it is attached to a task, and what it returns."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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


class Refusal(NamedTuple):
    """Why a run of an evaluator ends before it evaluates anything."""

    status: Literal["FAILED", "CANCELLED"]
    reason: str


class NoValueError(Exception):
    """A variable has no value: the span, trace or session is skipped."""


class EvaluationError(Exception):
    """The evaluator returned no label; the span counts as an error of its run."""


class Question(NamedTuple):
    """What a judge is asked about a span.

    :param template: the evaluator's template.
    :param prompt: the template, filled with the values of the span.
    :param rails: the labels to choose from.
    :param choices: scores by label, if the evaluator has them.
    :param explain: whether to return an explanation.
    """

    template: str
    prompt: str
    rails: Sequence[str]
    choices: Mapping[str, float] | None
    explain: bool
    span: Mapping[str, Any]

    def evaluation(self, label: str, explanation: str | None) -> Evaluation:
        """Return the evaluation with a label, and its score."""
        score = (self.choices or {}).get(label)
        return Evaluation(
            label, None if score is None else float(score), explanation if self.explain else None
        )


class Judge(Protocol):
    """An LLM judge, or the offline rules that take its place."""

    def evaluate(self, question: Question) -> Evaluation:
        """Return the answer to a question.

        :raises EvaluationError: there is no label.
        """
        ...


class Context(NamedTuple):
    """What the evaluators of a run share.

    :param queries: the IDs of the spans that each named query of the task matches.
    """

    judge: Judge
    queries: Mapping[str, Collection[str]]

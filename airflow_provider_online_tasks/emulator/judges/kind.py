"""What an evaluator kind is: everything that template evaluators and code evaluators do differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator, Trouble
    from airflow_provider_online_tasks.emulator.judges.judge import Judge
    from airflow_provider_online_tasks.emulator.judges.verdict import Verdict
    from airflow_provider_online_tasks.emulator.spans.subjects import Subject


class GiveVerdict(Protocol):
    """Judges one subject."""

    def __call__(
        self,
        judge: Judge,
        evaluator: Evaluator,
        subject: Subject,
        queries: Mapping[str, Collection[str]],
        *,
        lenient: bool,
    ) -> Verdict:
        """Return the verdict.

        :param queries: the spans that each named query of the task matches.
        :raises NotResolvedError: if there is nothing to judge.
        :raises JudgeError: if no label could be given.
        """


class Kind(NamedTuple):
    """An evaluator kind; a new one is a module with one of these, and a line in ``kinds.py``.

    :param name: how evaluators name it.
    :param graphql_field: the field of createEvalTask that lists inline evaluators of this kind.
    :param task_type: the type of a task of such evaluators.
    :param hub_type: the type of such an evaluator in the Eval Hub.
    :param config_field: the field of an Eval Hub version that holds its definition.
    :param of_graphql: reads what is the kind's own of an inline evaluator, given the task's llmConfig.
    :param of_hub: reads what is the kind's own of a definition in the Eval Hub.
    :param check: refuses an evaluator that cannot be attached to a task.
    :param trouble: says why a run of the evaluator ends before it evaluates anything, or None.
    :param verdict: judges.
    """

    name: str
    graphql_field: str
    task_type: str
    hub_type: str
    config_field: str
    of_graphql: Callable[[Mapping[str, Any], Mapping[str, Any] | None], dict[str, Any]]
    of_hub: Callable[[Mapping[str, Any]], dict[str, Any]]
    check: Callable[[Evaluator], None]
    trouble: Callable[[Evaluator], Trouble | None]
    verdict: GiveVerdict

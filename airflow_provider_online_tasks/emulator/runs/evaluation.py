"""What the evaluators of a task say about a span, a trace or a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator, NotResolvedError
from airflow_provider_online_tasks.emulator.judges.judge import JudgeError
from airflow_provider_online_tasks.emulator.judges.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.judges.judge import Judge, Verdict
    from airflow_provider_online_tasks.emulator.spans.subjects import Subject


class Outcome(NamedTuple):
    """What came of one span, trace or session.

    :param verdicts: who said what.
    :param failed: whether an evaluator failed; nothing is kept then.
    :param note: why nothing was said, for whoever looks at the run.
    """

    verdicts: list[tuple[Evaluator, Verdict]]
    failed: bool = False
    note: str | None = None


def evaluate(
    judge: Judge,
    subject: Subject,
    evaluators: Sequence[Evaluator],
    queries: Mapping[str, Collection[str]],
    *,
    lenient: bool,
) -> Outcome:
    """Return what evaluators say about a subject; it is skipped where no evaluator has anything to judge."""
    verdicts: list[tuple[Evaluator, Verdict]] = []
    note = None
    for evaluator in evaluators:
        try:
            verdict = KINDS[evaluator.kind].verdict(judge, evaluator, subject, queries, lenient=lenient)
        except NotResolvedError as error:
            note = str(error)
        except JudgeError as error:
            return Outcome([], failed=True, note=str(error))
        else:
            verdicts.append((evaluator, verdict))
    return Outcome(verdicts, note=note)

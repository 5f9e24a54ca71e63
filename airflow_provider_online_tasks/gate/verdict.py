"""Whether results keep the rules of a gate: held, broken or undecided, with the reason."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._numbers import finite
from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.evaluator_changes import judge_change, newer_version
from airflow_provider_online_tasks.gate.evidence import Evidence
from airflow_provider_online_tasks.gate.rules import (
    COMPARE,
    MIN_COVERAGE,
    MIN_EVALUATED,
    EvaluatorRules,
    Threshold,
    check_labels,
)
from airflow_provider_online_tasks.gate.samples import (
    Sample,
    difference,
    evaluations_for_drop,
    sample_of,
    unknown_labels,
)
from airflow_provider_online_tasks.results.statistics import NO_SEGMENT, OTHER_SEGMENTS

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.intervals import Interval

PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "inconclusive"
COMPLETE = "complete"
# A drop is tested even where the gate's bounds are compared without an interval.
DROP_CONFIDENCE = 0.95
_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Whether a rule is kept.

    :param evaluator: the evaluator's column name; ``*`` for all.
    :param measure: what was measured.
    :param rule: what is demanded.
    :param measured: what was found; None if there was nothing to measure.
    :param margin: by how much the rule is kept (0 or more) or broken (negative), as measured.
    :param outcome: ``passed``, ``failed`` or ``inconclusive``.
    :param note: what a person should know besides.
    :param segment: the segment it is about; None for all.
    :param low: lower end of the confidence interval.
    :param high: upper end of the confidence interval.
    :param evaluations: how many evaluations it rests on.
    :param evaluations_needed: about how many evaluations an inconclusive rule needs.
    """

    evaluator: str
    measure: str
    rule: str
    measured: float | None
    margin: float | None
    outcome: str
    note: str = ""
    segment: str | None = None
    low: float | None = None
    high: float | None = None
    evaluations: int | None = None
    evaluations_needed: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the rule passed."""
        return self.outcome == PASSED

    @property
    def measured_text(self) -> str:
        """What was found, for a person."""
        return "unknown" if self.measured is None else f"{self.measured:.4g}"


def judge(
    rules: Sequence[EvaluatorRules],
    summary: Mapping[str, Any],
    *,
    baseline: Any = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    max_error_rate: float = 1.0,
    confidence: float | None = None,
    across_evaluator_versions: bool = False,
    accept_unverified: bool = False,
) -> list[Finding]:
    """Check results against the rules.

    :param summary: what ``EvalResultsOperator`` returned.
    :param baseline: the same of earlier windows, one or a list; None: what the summary holds.
    :param labels: evaluator name to all its labels, as far as they are known.
    :param max_error_rate: largest share of the run's attempted items that were not judged, since that failed.
    :param confidence: of the intervals, above 0.5 and below 1; None compares the measured figures.
    :param across_evaluator_versions: whether results of two different judges may be compared.
    :param accept_unverified: whether results may pass of which nobody knows whether they are whole.
    :raises InvalidInput: ``summary`` is no summary of results, or a label may be misspelled.
    """
    evaluators = read_evaluators(summary, "summary")
    check_labels(rules, labels or {})
    findings = [_completeness(summary, accept_unverified=accept_unverified)]
    findings += _errors(summary, max_error_rate)
    earlier = _baseline(summary, baseline)
    for one in rules:
        figures = evaluators.get(one.evaluator)
        if figures is None:
            findings.append(_no_results(one, evaluators))
            continue
        judging = _Judging(
            rules=one,
            known=tuple(known) if (known := (labels or {}).get(one.evaluator)) is not None else None,
            confidence=confidence,
        )
        now = Evidence.read(one.evaluator, figures)
        before = [
            Evidence.read(one.evaluator, found) for part in earlier if (found := part.get(one.evaluator))
        ]
        findings += judging.thresholds(now)
        if one.max_drop is not None:
            findings += judging.drops(
                now,
                Evidence.merged(before) if before else None,
                new_version=newer_version(summary, one.evaluator) if baseline is None else None,
                across_evaluator_versions=across_evaluator_versions,
            )
        findings += judging.segments(now)
    return findings


def read_evaluators(summary: Any, name: str) -> Mapping[str, Any]:
    """Return the figures of each evaluator in a summary of results.

    :param name: the argument, for messages.
    :raises InvalidInput: it is no summary.
    """
    evaluators = summary.get("evaluators") if isinstance(summary, Mapping) else None
    if not isinstance(evaluators, Mapping):
        raise InvalidInput(
            f"{name} must be what EvalResultsOperator returned, not {str(summary)[:80]!r}. Check the "
            f"upstream task's ID and that it ran."
        )
    return evaluators


def _baseline(summary: Mapping[str, Any], given: Any) -> list[Mapping[str, Any]]:
    """Return the evaluators of the earlier windows; the run itself, or its window, is no earlier one."""
    found = summary.get("baseline") if given is None else given
    return [read_evaluators(one, "baseline") for one in several(found) if not _is_the_same(summary, one)]


def several(baseline: Any) -> list[Any]:
    """Return the summaries that a baseline holds: it is one, or a list with gaps, or none."""
    given = baseline if isinstance(baseline, list | tuple) else [baseline]
    return [one for one in given if one is not None]


def _is_the_same(summary: Mapping[str, Any], other: Any) -> bool:
    """Whether two summaries are of one run, or of one task's same spans."""
    if not isinstance(other, Mapping):
        return False
    run, spans = (
        [tuple(one.get(name) for name in names) for one in (summary, other)]
        for names in (("run_id",), ("online_task_id", "data_start_time", "data_end_time"))
    )
    return any(None not in one and one == two for one, two in (run, spans))


def _completeness(summary: Mapping[str, Any], *, accept_unverified: bool) -> Finding:
    complete, expected, read = (summary.get(name) for name in (COMPLETE, "expected", "read"))
    if complete is True:
        outcome, note = PASSED, ""
    elif complete is False:
        outcome, note = FAILED, str(summary.get("incomplete_reason") or "not all evaluations could be read")
    else:
        reason = str(summary.get("incomplete_reason") or "nothing says how many evaluations there are")
        outcome = PASSED if accept_unverified else FAILED
        note = reason + ("" if accept_unverified else "; accept_unverified=True lets such results pass")
    measured, wanted = finite(read), finite(expected)
    return Finding(
        evaluator="*",
        measure=COMPLETE,
        rule="all evaluations" if wanted is None else f">= {wanted:g}",
        measured=measured,
        margin=None if measured is None or wanted is None else measured - wanted,
        outcome=outcome,
        note=on_one_line(note),
    )


def _errors(summary: Mapping[str, Any], bound: float) -> Iterator[Finding]:
    """Check the share of items whose evaluation failed against its bound, if there are any."""
    errors, judged = finite(summary.get("errors")), finite(summary.get("expected"))
    if not errors:
        return
    rate = errors / (errors + (judged or 0))
    yield Finding(
        evaluator="*",
        measure="error_rate",
        rule=f"<= {bound:g}",
        measured=rate,
        margin=bound - rate,
        outcome=PASSED if rate <= bound else FAILED,
        note=f"{errors:g} items were not judged, since their evaluation failed",
    )


def _no_results(rules: EvaluatorRules, evaluators: Mapping[str, Any]) -> Finding:
    known = ", ".join(map(repr, sorted(evaluators))) or "none"
    return Finding(
        evaluator=rules.evaluator,
        measure=MIN_EVALUATED,
        rule=f">= {rules.min_evaluated}",
        measured=0,
        margin=-float(rules.min_evaluated),
        outcome=FAILED,
        note=f"no evaluation of this evaluator; evaluators with results: {known}",
    )


@dataclass(frozen=True, kw_only=True)
class _Judging:
    """Checks the results of one evaluator against its rules."""

    rules: EvaluatorRules
    known: tuple[str, ...] | None
    confidence: float | None

    def thresholds(self, found: Evidence) -> Iterator[Finding]:
        least = self.rules.min_evaluated
        enough, note = found.evaluated >= least, ""
        if not enough:
            note = "too few evaluations"
        elif found.without:
            note = f"{found.without} more were read that it did not judge"
        yield Finding(
            evaluator=self.rules.evaluator,
            measure=MIN_EVALUATED,
            rule=f">= {least}",
            measured=found.evaluated,
            margin=float(found.evaluated - least),
            outcome=PASSED if enough else FAILED,
            note=note,
        )
        if self.rules.min_coverage is not None:
            yield self._coverage(self.rules.min_coverage, found)
        for threshold in self.rules.thresholds:
            yield self._threshold(threshold, found)

    def segments(self, found: Evidence) -> Iterator[Finding]:
        """Check each segment against its rules. The confidence is divided among them (Bonferroni)."""
        rules = self.rules.each_segment
        if rules is None:
            return
        if not set(found.segments or ()) - {NO_SEGMENT}:
            yield replace(
                _no_results(rules, {}),
                measure="segments",
                rule=">= 1",
                margin=-1.0,
                note="no span has the attribute of group_by; is it spelled as the spans have it?"
                if found.segments
                else "the results have no segments: give EvalResultsOperator group_by",
            )
            return
        assert found.segments is not None  # noqa: S101  it names at least one
        tests = len(found.segments) * len(rules.thresholds)
        confidence = None if self.confidence is None else 1 - (1 - self.confidence) / tests
        judging = replace(self, rules=rules, confidence=confidence)
        for name, part in found.segments.items():
            for finding in judging.thresholds(part):
                yield replace(finding, segment=name)
        is_cut = OTHER_SEGMENTS in found.segments
        for name in rules.segments:
            if name not in found.segments:
                hidden = f"; it may be among {OTHER_SEGMENTS}: raise max_segments" if is_cut else ""
                note = f"no evaluation of this segment, which has to be there{hidden}"
                yield replace(_no_results(rules, {}), segment=name, note=note)

    def _coverage(self, least: float, found: Evidence) -> Finding:
        """Hold the share of the items that was evaluated against its bound."""
        share = found.coverage
        is_kept = share is not None and share >= least - _SLACK
        note = "nothing says how many items there are" if share is None else ""
        if not is_kept and share is not None:
            note = f"{found.without} were not judged: sampling, the run's cap, or skipped"
        return Finding(
            evaluator=self.rules.evaluator,
            measure=MIN_COVERAGE,
            rule=f">= {least:g}",
            measured=share,
            margin=None if share is None else share - least,
            outcome=PASSED if is_kept else FAILED,
            note=note,
        )

    def _threshold(self, threshold: Threshold, found: Evidence) -> Finding:
        sample = sample_of(threshold, found, self.known, self.confidence)
        if reason := self._lack(threshold, found, sample):
            return self._finding(threshold, sample, FAILED, reason)
        measured = sample.measured
        if measured is None:
            return self._finding(threshold, sample, FAILED, "nothing to measure")
        note = sample.note
        if threshold.is_label and measured == 0 and threshold.is_lower_bound and threshold.bound > 0:
            note = note or "no span carries this label; is it spelled as the evaluator's?"
        if self.confidence is None or threshold.comparison == "==":
            holds = COMPARE[threshold.comparison](measured, threshold.bound)
            return self._finding(threshold, sample, PASSED if holds else FAILED, note)
        if sample.interval is None:
            return self._finding(threshold, sample, INCONCLUSIVE, note)
        outcome = decide(threshold.comparison, sample.interval, threshold.bound)
        return self._finding(threshold, sample, outcome, note)

    def _lack(self, threshold: Threshold, found: Evidence, sample: Sample) -> str | None:
        """Return why the evaluations do not carry what the rule needs."""
        if not threshold.is_label and found.invalid_scores:
            return f"{found.invalid_scores} scores are no finite numbers"
        missing = found.evaluated - sample.total
        if missing > self.rules.max_missing * found.evaluated:
            what = "label" if threshold.is_label else "score"
            return f"{missing} of {found.evaluated} evaluations carry no {what}; max_missing allows a share"
        if sample.total < self.rules.min_evaluated:
            return "too few evaluations"
        return None

    def _finding(self, threshold: Threshold, sample: Sample, outcome: str, note: str) -> Finding:
        margin = None
        if sample.measured is not None:
            room = sample.measured - threshold.bound
            match threshold.comparison:
                case "==":
                    margin = -abs(room)
                case "<" | "<=":
                    margin = -room
                case _:
                    margin = room
        return Finding(
            evaluator=threshold.evaluator,
            measure=threshold.measure,
            rule=threshold.text,
            measured=sample.measured,
            margin=margin,
            outcome=outcome,
            note=note,
            evaluations=sample.total,
            evaluations_needed=sample.evaluations_needed if outcome == INCONCLUSIVE else None,
            low=_end(sample.interval, 0),
            high=_end(sample.interval, 1),
        )

    def drops(
        self,
        now: Evidence,
        before: Evidence | None,
        *,
        new_version: str | None,
        across_evaluator_versions: bool,
    ) -> Iterator[Finding]:
        """Test whether the measures have dropped by more than chance and ``max_drop`` explain.

        :param new_version: how the judge has changed by what the Eval Hub says.
        """
        for threshold in self.rules.thresholds:
            if threshold.is_lower_bound and threshold.quantile is None:
                yield self._drop(
                    threshold,
                    now,
                    before,
                    new_version=new_version,
                    across_evaluator_versions=across_evaluator_versions,
                )

    def _drop(
        self,
        threshold: Threshold,
        now: Evidence,
        before: Evidence | None,
        *,
        new_version: str | None,
        across_evaluator_versions: bool,
    ) -> Finding:
        bound = self.rules.max_drop or 0.0
        finding = Finding(
            evaluator=self.rules.evaluator,
            measure=f"drop of {threshold.measure}",
            rule=f"<= {bound:g}",
            measured=None,
            margin=None,
            outcome=FAILED,
        )
        current = sample_of(threshold, now, self.known, None)
        finding = replace(finding, evaluations=current.total)
        if (reason := self._lack(threshold, now, current)) or current.measured is None:
            return replace(finding, note=reason or "nothing to measure")
        nothing = replace(finding, outcome=INCONCLUSIVE, note="no earlier result to compare with")
        if before is None:
            return nothing
        earlier = sample_of(threshold, before, self.known, None)
        if earlier.measured is None:
            return nothing
        if (reason := self._lack(threshold, before, earlier)) is not None:
            return replace(finding, outcome=INCONCLUSIVE, note=f"of the baseline, {reason}")
        if threshold.is_label and (reason := self._other_labels(threshold, before)) is not None:
            return replace(finding, outcome=INCONCLUSIVE, note=reason)
        change = judge_change(before.judges, now.judges) or new_version
        if change and not across_evaluator_versions:
            return replace(finding, note=f"not compared: {change}; across_evaluator_versions=True allows it")
        drop = earlier.measured - current.measured
        confidence = self.confidence or DROP_CONFIDENCE
        interval = difference(threshold, before=before, now=now, known=self.known, confidence=confidence)
        outcome = INCONCLUSIVE if interval is None else decide("<=", interval, bound)
        needed = None
        if outcome == INCONCLUSIVE and interval is not None:
            needed = evaluations_for_drop(current.total, drop, interval, bound)
            if self.confidence is None:
                outcome = PASSED
        was = f"was {earlier.measured:.4g} of {earlier.total}"
        return replace(
            finding,
            measured=drop,
            margin=bound - drop,
            outcome=outcome,
            note=f"{was}; {change}" if change else was,
            evaluations_needed=needed if outcome == INCONCLUSIVE else None,
            low=_end(interval, 0),
            high=_end(interval, 1),
        )

    def _other_labels(self, threshold: Threshold, before: Evidence) -> str | None:
        """Return why a label's earlier share may be that of another spelling: its loss would not show."""
        if strange := unknown_labels(before, self.known):
            return f"{strange} evaluations of the baseline carry labels that are not known"
        if self.known is None and not before.labels.get(threshold.measure):
            return "no evaluation of the baseline carries this label; was it renamed? Give labels, with all"
        return None


def decide(comparison: str, interval: Interval, bound: float) -> str:
    """Return whether a measure within this interval keeps a bound."""
    low, high = interval
    match comparison:
        case ">=":
            held, broken = low >= bound - _SLACK, high < bound
        case ">":
            held, broken = low > bound, high <= bound
        case "<=":
            held, broken = high <= bound + _SLACK, low > bound
        case "<":
            held, broken = high < bound, low >= bound
        case _:
            raise ValueError(f"{comparison} is decided by the sample alone")
    return PASSED if held else FAILED if broken else INCONCLUSIVE


def _end(interval: Interval | None, place: int) -> float | None:
    return interval[place] if interval is not None and math.isfinite(interval[place]) else None


def verdict(findings: Sequence[Finding], *, on_inconclusive: str = "fail") -> dict[str, Any]:
    """Return the findings as plain JSON values.

    :param on_inconclusive: with ``pass``, rules that are undecided do not keep the gate from passing.
    """
    states = {one.outcome for one in findings}
    state = FAILED if FAILED in states else INCONCLUSIVE if INCONCLUSIVE in states else PASSED
    return {
        "passed": state == PASSED or (state == INCONCLUSIVE and on_inconclusive == "pass"),
        "outcome": state,
        "rules": [{**asdict(one), "passed": one.passed} for one in findings],
    }

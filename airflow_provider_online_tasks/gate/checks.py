"""Check the results of one evaluator against its rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_online_tasks.gate.evaluator_versions import changed_in_metadata
from airflow_provider_online_tasks.gate.rules import (
    COMPARE,
    MIN_COVERAGE,
    MIN_EVALUATED,
    TOLERANCE,
    EvaluatorRules,
    Threshold,
)
from airflow_provider_online_tasks.gate.samples import Sample, drop_interval, sample_of
from airflow_provider_online_tasks.gate.summary import NO_SEGMENT, OTHER_SEGMENTS, EvaluatorSummary
from airflow_provider_online_tasks.inputs.arguments import finite

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.intervals import Interval

PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "inconclusive"
# A drop is tested statistically even if the rules are compared without intervals.
DROP_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """The result of one rule.

    :param evaluator: the evaluator's column name; ``*`` for all.
    :param measure: what was measured.
    :param rule: what the rule demands.
    :param measured: the measured value; None if there was nothing to measure.
    :param margin: distance from the bound: 0 or more if the measured value satisfies the rule.
    :param outcome: ``passed``, ``failed`` or ``inconclusive``.
    :param note: a remark for the reader.
    :param segment: the segment; None for all.
    :param low: lower end of the confidence interval; None if there is none or it is infinite.
    :param high: upper end of the confidence interval; None likewise.
    :param evaluations: how many evaluations the result is based on.
    :param evaluations_needed: about how many evaluations an inconclusive rule needs.
    """

    evaluator: str
    measure: str
    rule: str
    outcome: str
    measured: float | None = None
    margin: float | None = None
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
        """The measured value as text."""
        return "unknown" if self.measured is None else f"{self.measured:.4g}"


def at_least(
    evaluator: str,
    measure: str,
    measured: float | None,
    least: float,
    *,
    note: str = "",
    segment: str | None = None,
) -> RuleResult:
    """Return the result of a rule that demands a minimum; an unknown value fails."""
    margin = None if measured is None else measured - least
    return RuleResult(
        evaluator=evaluator,
        measure=measure,
        rule=f">= {least:g}",
        measured=measured,
        margin=margin,
        outcome=PASSED if margin is not None and margin >= -TOLERANCE else FAILED,
        note=note,
        segment=segment,
    )


def decide(comparison: str, interval: Interval, bound: float) -> str:
    """Return the outcome of a rule on a measure that lies within this interval."""
    low, high = interval
    match comparison:
        case ">=":
            passed, failed = low >= bound - TOLERANCE, high < bound
        case ">":
            passed, failed = low > bound, high <= bound
        case "<=":
            passed, failed = high <= bound + TOLERANCE, low > bound
        case "<":
            passed, failed = high < bound, low >= bound
        case _:
            raise ValueError(f"{comparison} is compared without an interval")
    return PASSED if passed else FAILED if failed else INCONCLUSIVE


@dataclass(frozen=True, kw_only=True)
class EvaluatorCheck:
    """Checks the results of one evaluator, or of a segment, against its rules.

    :param labels: all labels of the evaluator; None if unknown.
    :param confidence: confidence of the intervals; None compares the measured values.
    """

    rules: EvaluatorRules
    labels: Sequence[str] | None
    confidence: float | None

    def check_measures(self, summary: EvaluatorSummary) -> Iterator[RuleResult]:
        """Check the number of evaluations, the coverage and the thresholds."""
        name, least = self.rules.evaluator, self.rules.min_evaluated
        missing, coverage = summary.not_evaluated, summary.coverage
        if summary.evaluated < least:
            note = "too few evaluations"
        else:
            note = f"{missing} more were read and have no evaluation" if missing else ""
        yield at_least(name, MIN_EVALUATED, summary.evaluated, least, note=note)
        if self.rules.min_coverage is not None:
            result = at_least(name, MIN_COVERAGE, coverage, self.rules.min_coverage)
            if coverage is None:
                result = replace(result, note="the number of items is unknown")
            elif not result.passed:
                note = f"{missing} have no evaluation (sampling, max_spans, or skipped)"
                result = replace(result, note=note)
            yield result
        for threshold in self.rules.thresholds:
            yield self._check_threshold(threshold, summary)

    def _check_threshold(self, threshold: Threshold, summary: EvaluatorSummary) -> RuleResult:
        sample = sample_of(threshold, summary, self.labels, self.confidence)
        measured, bound, comparison = sample.measured, threshold.bound, threshold.comparison
        result = RuleResult(
            evaluator=threshold.evaluator,
            measure=threshold.measure,
            rule=threshold.text,
            outcome=FAILED,
            measured=measured,
            note=sample.note,
            evaluations=sample.total,
            low=finite(sample.interval.low) if sample.interval else None,
            high=finite(sample.interval.high) if sample.interval else None,
        )
        if measured is not None:
            distance = measured - bound
            margin = -abs(distance) if comparison == "==" else distance
            result = replace(result, margin=-distance if comparison in ("<", "<=") else margin)
        if (problem := self._problem(threshold, summary, sample)) or measured is None:
            return replace(result, note=problem or "nothing to measure")
        if threshold.is_label and threshold.is_lower_bound and measured == 0 < bound:
            result = replace(
                result, note=sample.note or "no span has this label; check its spelling in the rule"
            )
        if self.confidence is None or comparison == "==":
            return replace(result, outcome=PASSED if COMPARE[comparison](measured, bound) else FAILED)
        outcome = INCONCLUSIVE if sample.interval is None else decide(comparison, sample.interval, bound)
        needed = sample.evaluations_needed if outcome == INCONCLUSIVE else None
        return replace(result, outcome=outcome, evaluations_needed=needed)

    def _problem(self, threshold: Threshold, summary: EvaluatorSummary, sample: Sample) -> str | None:
        """Return why the evaluations are not enough to check a rule; None if they are."""
        if not threshold.is_label and summary.invalid_scores:
            return f"{summary.invalid_scores} scores are not finite numbers"
        missing = summary.evaluated - sample.total
        if missing > self.rules.max_missing * summary.evaluated:
            what = "label" if threshold.is_label else "score"
            return f"{missing} of {summary.evaluated} evaluations have no {what} (see max_missing)"
        if sample.total < self.rules.min_evaluated:
            return "too few evaluations"
        return None

    def check_drops(
        self,
        now: EvaluatorSummary,
        before: EvaluatorSummary | None,
        *,
        version_change: str | None,
        across_versions: bool,
    ) -> Iterator[RuleResult]:
        """Test whether measures dropped by more than ``max_drop`` and chance.

        :param before: the results of the baseline; None without a baseline.
        :param version_change: how the evaluator version changed, according to the Eval Hub.
        :param across_versions: whether results of different evaluator versions are compared.
        """
        if self.rules.max_drop is None:
            return
        for threshold in self.rules.thresholds:
            if threshold.can_drop:
                yield self._check_drop(threshold, now, before, version_change, across_versions)

    def _check_drop(
        self,
        threshold: Threshold,
        now: EvaluatorSummary,
        before: EvaluatorSummary | None,
        version_change: str | None,
        across_versions: bool,
    ) -> RuleResult:
        bound = self.rules.max_drop or 0.0
        current = sample_of(threshold, now, self.labels, None)
        result = RuleResult(
            evaluator=self.rules.evaluator,
            measure=f"drop of {threshold.measure}",
            rule=f"<= {bound:g}",
            outcome=FAILED,
            evaluations=current.total,
        )
        if (problem := self._problem(threshold, now, current)) or current.measured is None:
            return replace(result, note=problem or "nothing to measure")
        earlier = None if before is None else sample_of(threshold, before, self.labels, None)
        if before is None or earlier is None or earlier.measured is None:
            return replace(result, outcome=INCONCLUSIVE, note="no earlier result to compare with")
        if problem := self._problem(threshold, before, earlier) or self._label_problem(threshold, before):
            return replace(result, outcome=INCONCLUSIVE, note=f"baseline: {problem}")
        change = changed_in_metadata(before.evaluator_versions, now.evaluator_versions) or version_change
        if change and not across_versions:
            return replace(
                result, note=f"not compared: {change}. Set across_evaluator_versions=True to compare"
            )
        drop = earlier.measured - current.measured
        interval = drop_interval(
            threshold,
            before=before,
            now=now,
            labels=self.labels,
            confidence=self.confidence or DROP_CONFIDENCE,
        )
        outcome = INCONCLUSIVE if interval is None else decide("<=", interval, bound)
        if interval is not None and outcome == INCONCLUSIVE and self.confidence is None:
            outcome = PASSED  # the measured drop may be chance
        note = f"was {earlier.measured:.4g} of {earlier.total}"
        return replace(
            result,
            measured=drop,
            margin=bound - drop,
            outcome=outcome,
            note=f"{note}; {change}" if change else note,
            low=finite(interval.low) if interval else None,
            high=finite(interval.high) if interval else None,
        )

    def _label_problem(self, threshold: Threshold, before: EvaluatorSummary) -> str | None:
        """Return why the label may have had another name in the baseline, which would hide its loss."""
        if not threshold.is_label:
            return None
        if unknown := before.unknown_labels(self.labels):
            return f"{unknown} evaluations have unknown labels"
        if self.labels is None and not before.label_counts.get(threshold.measure):
            return "no evaluation has this label. If it was renamed, set labels with all labels"
        return None

    def check_segments(self, summary: EvaluatorSummary) -> Iterator[RuleResult]:
        """Check each segment. The error probability is divided among all tests (Bonferroni)."""
        rules, segments = self.rules.each_segment, summary.segments or {}
        if rules is None:
            return
        if not set(segments) - {NO_SEGMENT}:
            note = (
                "no span has the attribute of group_by; check its spelling"
                if segments
                else "the results have no segments. Set group_by of EvalResultsOperator"
            )
            yield at_least(rules.evaluator, "segments", 0, 1, note=note)
            return
        confidence = self.confidence
        if confidence is not None:
            confidence = 1 - (1 - confidence) / (len(segments) * len(rules.thresholds))
        check = replace(self, rules=rules, confidence=confidence)
        for name, segment in segments.items():
            for result in check.check_measures(segment):
                yield replace(result, segment=name)
        for name in rules.segments:
            if name not in segments:
                note = "no evaluation of this required segment"
                if OTHER_SEGMENTS in segments:
                    note += f". It may be part of {OTHER_SEGMENTS}: increase max_segments"
                yield at_least(
                    rules.evaluator, MIN_EVALUATED, 0, rules.min_evaluated, note=note, segment=name
                )

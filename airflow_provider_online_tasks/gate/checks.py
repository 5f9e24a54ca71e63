"""Check a summary of results against the rules of a gate: a result per rule, and the verdict."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks.gate.calibration import Calibration, Estimate, calibration_of
from airflow_provider_online_tasks.gate.rules import (
    COMPARE,
    MAX_DROP,
    MIN_COVERAGE,
    MIN_EVALUATED,
    MIN_HUMAN_LABELS,
    MIN_SPECIFICITY,
    TOLERANCE,
    CalibratedRules,
    EvaluatorRules,
    Threshold,
    check_labels,
    check_score_ranges,
)
from airflow_provider_online_tasks.gate.samples import Range, Sample, Scale, drop_interval, sample_of
from airflow_provider_online_tasks.gate.summary import (
    NO_SEGMENT,
    OTHER_SEGMENTS,
    EvaluatorSummary,
    changed_in_hub,
    changed_in_metadata,
    changed_since,
    list_summaries,
    read_evaluators,
)
from airflow_provider_online_tasks.inputs.arguments import finite

PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "inconclusive"
TOO_FEW, NOTHING = "too few evaluations", "nothing to measure"
DROP_OF = "drop of "
ALL_EVALUATORS = "*"  # of rules on the results of all evaluators together
LABELS_NAMED = 5
# The measures of rules on human labels begin with these; a label follows.
CALIBRATED_SHARE, SPECIFICITY, SENSITIVITY = "calibrated ", "specificity of ", "sensitivity to "
# Drops and calibrated shares are tested statistically even if the rules are compared without intervals.
TEST_CONFIDENCE = 0.95
REACTIONS = ("fail", "skip", "ask", "warn", "pass")  # the strictest first
# Fewer human labels of the evaluations that an evaluator rejects say too little about these.
MIN_REJECTED = 10


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """The result of one rule. ``margin`` is 0 or more if the measured value satisfies the rule.

    ``effective_evaluations`` is the number of independent evaluations that give as much information: fewer if
    several are of one session or trace. ``on_inconclusive`` is the setting of the rule; None means that of
    the gate, which the verdict names.
    ``has_problem`` is whether there are too few evaluations with values to check the rule.
    ``evidence`` is that of all windows since ``evidence_since``, and fails the rule from ``evidence_needed``.
    ``failing_windows`` counts the windows of an incident, and ``recovered`` is whether this window ended one.
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
    effective_evaluations: float | None = None
    evaluations_needed: int | None = None
    on_inconclusive: str | None = None
    has_problem: bool = False
    evidence: float | None = None
    evidence_needed: float | None = None
    evidence_since: str | None = None
    failing_since: str | None = None
    failing_windows: int | None = None
    recovered: bool = False

    @property
    def passed(self) -> bool:
        """Whether the rule passed."""
        return self.outcome == PASSED

    @property
    def measured_text(self) -> str:
        """The measured value as text."""
        return "unknown" if self.measured is None else f"{self.measured:.4g}"


def at_least(
    evaluator: str, measure: str, measured: float | None, least: float, *, note: str = ""
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
    )


def decide(comparison: str, interval: tuple[float, float], bound: float) -> str:
    """Return the outcome of a rule on a measure that lies within this interval."""
    low, high = interval
    if comparison in ("<=", "<"):
        low, high, bound = -high, -low, -bound
    bound += TOLERANCE if comparison in (">", "<") else -TOLERANCE
    return PASSED if low > bound else FAILED if high <= bound else INCONCLUSIVE


@dataclass(frozen=True)
class EvaluatorCheck:
    """Checks one evaluator, or a segment.

    ``labels_found`` are the labels of its results. ``tests`` is the number of tests, one of which may fail by
    chance.
    """

    rules: EvaluatorRules
    scale: Scale
    labels_found: Collection[str]
    confidence: float | None
    across_versions: bool
    is_baseline_partial: bool
    tests: int = 1
    too_few: str = FAILED

    def check(
        self, now: EvaluatorSummary, before: EvaluatorSummary | None, version_change: str | None
    ) -> Iterator[RuleResult]:
        """Check all rules. The Eval Hub names the version change; the baseline may be None."""
        yield from self.check_measures(now)
        if self.rules.max_drop is not None:
            for threshold in self.rules.thresholds:
                if threshold.can_drop:
                    yield self._check_drop(threshold, self.rules.max_drop, now, before, version_change)
        if self.rules.each_segment is not None:
            yield from self._check_segments(self.rules.each_segment, now)
        if self.rules.calibrated is not None:
            yield from self._check_calibrated(self.rules.calibrated, now)

    def check_measures(self, summary: EvaluatorSummary) -> Iterator[RuleResult]:
        """Check the number of evaluations, the coverage and the thresholds."""
        name, missing = self.rules.evaluator, summary.not_evaluated
        note = f"{missing} more were read and have no evaluation" if missing else ""
        enough = at_least(name, MIN_EVALUATED, summary.evaluated, self.rules.min_evaluated, note=note)
        if not enough.passed:
            reaction = self.rules.on_inconclusive.get(MIN_EVALUATED)
            enough = replace(enough, outcome=self.too_few, note=TOO_FEW, on_inconclusive=reaction)
        yield enough
        if self.rules.min_coverage is not None:
            coverage = summary.coverage
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
        sample = self._sample(threshold, summary, self.confidence)
        outcome = self._outcome(threshold, sample)
        if outcome == FAILED and self.confidence is not None and self.tests > 1:
            # The error probability of a failure is divided among the tests (Bonferroni).
            corrected = 1 - (1 - self.confidence) / self.tests
            sample = self._sample(threshold, summary, corrected)
            outcome = self._outcome(threshold, sample)
        measured, bound = sample.measured, threshold.bound
        low, high = sample.interval or (None, None)
        result = RuleResult(
            evaluator=threshold.evaluator,
            measure=threshold.measure,
            rule=threshold.text,
            outcome=outcome,
            measured=measured,
            margin=None if measured is None else threshold.margin(measured),
            note=sample.note,
            evaluations=sample.total,
            effective_evaluations=sample.effective,
            low=finite(low),
            high=finite(high),
            on_inconclusive=self.rules.on_inconclusive.get(threshold.measure),
        )
        if problem := self._problem(threshold, summary, sample):
            outcome = self.too_few if problem == TOO_FEW else FAILED
            return replace(result, outcome=outcome, note=problem, has_problem=True)
        if measured is None:
            return replace(result, note=NOTHING)
        if threshold.is_label and threshold.is_lower_bound and measured == 0 < bound:
            result = replace(result, note=self._label_hint(threshold.measure, summary))
        needed = sample.evaluations_needed if outcome == INCONCLUSIVE else None
        return replace(result, evaluations_needed=needed)

    def _sample(self, threshold: Threshold, summary: EvaluatorSummary, confidence: float | None) -> Sample:
        return sample_of(threshold, summary, self.scale, confidence)

    def _outcome(self, threshold: Threshold, sample: Sample) -> str:
        """Return whether a measured value or, with a confidence, its interval satisfies a rule."""
        measured, bound, comparison = sample.measured, threshold.bound, threshold.comparison
        if measured is None:
            return FAILED
        if self.confidence is None or comparison == "==":
            return PASSED if COMPARE[comparison](measured, bound) else FAILED
        return decide(comparison, sample.interval, bound) if sample.interval else INCONCLUSIVE

    def _label_hint(self, label: str, summary: EvaluatorSummary) -> str:
        """Return why a label without evaluations may be misspelled; empty if it is not."""
        if self.scale.labels is None and label not in self.labels_found:
            listed = ", ".join(map(repr, itertools.islice(self.labels_found, LABELS_NAMED)))
            return f"no evaluation has this label; found: {listed}. Check its spelling in the rule"
        unknown = summary.unknown_labels(self.scale.labels)
        return f"{unknown} evaluations have labels that are not in labels" if unknown else ""

    def _problem(self, threshold: Threshold, summary: EvaluatorSummary, sample: Sample) -> str | None:
        """Return why the evaluations are not enough to check a rule; None if they are."""
        if not threshold.is_label and summary.invalid_scores:
            return f"{summary.invalid_scores} scores are not finite numbers"
        if self.scale.counts_missing and summary.not_evaluated is None:
            return "the number of missing evaluations is unknown"
        missing = 0 if self.scale.counts_missing else summary.evaluated - sample.total
        if missing > self.rules.max_missing * summary.evaluated + TOLERANCE:
            what = "label" if threshold.is_label else "score"
            return f"{missing} of {summary.evaluated} evaluations have no {what} (see max_missing)"
        return TOO_FEW if sample.total - sample.missing < self.rules.min_evaluated else None

    def _check_drop(
        self,
        threshold: Threshold,
        bound: float,
        now: EvaluatorSummary,
        before: EvaluatorSummary | None,
        version_change: str | None,
    ) -> RuleResult:
        """Test whether a measure dropped by more than the bound and chance."""
        current = self._sample(threshold, now, None)
        result = RuleResult(
            evaluator=self.rules.evaluator,
            measure=DROP_OF + threshold.measure,
            rule=f"<= {bound:g}",
            outcome=FAILED,
            evaluations=current.total,
            on_inconclusive=self.rules.on_inconclusive.get(MAX_DROP),
        )
        if (problem := self._problem(threshold, now, current)) or current.measured is None:
            return replace(result, note=problem or NOTHING)
        earlier = self._sample(threshold, before, None) if before else None
        if before is None or earlier is None or earlier.measured is None:
            return replace(result, outcome=INCONCLUSIVE, note="no earlier result to compare with")
        problem = self._problem(threshold, before, earlier) or self._label_problem(threshold, before)
        if self.is_baseline_partial:
            problem = "its results are incomplete"
        if problem:
            return replace(result, outcome=INCONCLUSIVE, note=f"baseline: {problem}")
        scale = self.scale
        if earlier.missing * current.total > current.missing * earlier.total:
            # More failures of the baseline would hide a drop: compare the evaluations that exist.
            scale = replace(scale, counts_missing=False)
            earlier, current = (sample_of(threshold, each, scale, None) for each in (before, now))
            result = replace(result, evaluations=current.total)
        note = f"was {earlier.measured:.4g} of {earlier.total}"
        if change := changed_in_metadata(before.evaluator_versions, now.evaluator_versions) or version_change:
            if not self.across_versions:
                note = f"not compared: {change}. Set across_evaluator_versions=True to compare"
                return replace(result, note=note)
            note += f"; {change}"
        drop = (earlier.measured or 0) - (current.measured or 0)
        confidence = self.confidence or TEST_CONFIDENCE
        interval = drop_interval(threshold, before, now, scale=scale, confidence=confidence)
        outcome = decide("<=", interval, bound) if interval else INCONCLUSIVE
        if interval and outcome == INCONCLUSIVE and self.confidence is None:
            outcome = PASSED  # the measured drop may be chance
        low, high = map(finite, interval or (None, None))
        result = replace(result, outcome=outcome, note=note, low=low, high=high)
        return replace(result, measured=drop, margin=bound - drop)

    def _label_problem(self, threshold: Threshold, before: EvaluatorSummary) -> str | None:
        """Return why the label may have had another name in the baseline, which would hide its loss."""
        if not threshold.is_label:
            return None
        if unknown := before.unknown_labels(self.scale.labels):
            return f"{unknown} evaluations have unknown labels"
        if self.scale.labels is None and not before.label_counts.get(threshold.measure):
            return "no evaluation has this label. If it was renamed, set labels with all labels"
        return None

    def _check_segments(self, rules: EvaluatorRules, now: EvaluatorSummary) -> Iterator[RuleResult]:
        """Check each segment. One with too few evaluations is inconclusive."""
        segments = now.segments
        if not segments or not set(segments) - {NO_SEGMENT}:
            note = "no span has the attribute of group_by; check its spelling"
            if not segments:
                note = NOTHING
            if segments is None:
                note = "the results have no segments. Set group_by of EvalResultsOperator"
            yield at_least(rules.evaluator, "segments", 0, 1, note=note)
            return
        tests = len(segments) * len(rules.thresholds)
        scale = replace(self.scale, counts_missing=False)  # the number of items of a segment is unknown
        check = replace(self, rules=rules, scale=scale, tests=tests, too_few=INCONCLUSIVE)
        for name in segments:
            for result in check.check_measures(now.segment(name)):
                yield replace(result, segment=name)
        for name in rules.segments:
            if name not in segments:
                note = "no evaluation of this required segment"
                if OTHER_SEGMENTS in segments:
                    note += f". It may be part of {OTHER_SEGMENTS}: increase max_segments"
                result = at_least(rules.evaluator, MIN_EVALUATED, 0, rules.min_evaluated, note=note)
                yield replace(result, segment=name)

    def _check_calibrated(self, rules: CalibratedRules, summary: EvaluatorSummary) -> Iterator[RuleResult]:
        """Check the number of human labels, calibrated shares, and how far the evaluator can be trusted."""
        human, least = summary.human_labels, rules.min_human_labels
        if human is None:
            note = "the results have no human labels. Set human_labels of EvalResultsOperator"
            yield at_least(self.rules.evaluator, MIN_HUMAN_LABELS, 0, least, note=note)
            return
        calibration = calibration_of(summary, self.confidence or TEST_CONFIDENCE)
        enough = at_least(self.rules.evaluator, MIN_HUMAN_LABELS, calibration.labelled, least)
        if not enough.passed:
            enough = replace(enough, outcome=INCONCLUSIVE, note="too few human labels")
        yield replace(enough, on_inconclusive=rules.on_inconclusive.get(MIN_HUMAN_LABELS))
        for threshold in rules.thresholds:
            problem = human.sample_problem or _too_few_rejected(threshold, calibration)
            share = self._check_share(threshold, summary, calibration)
            trust = _check_trust(threshold, rules.min_specificity, calibration)
            unusable = self._problem(threshold, summary, self._sample(threshold, summary, None))
            for checked, key in ((share, threshold.measure), (trust, MIN_SPECIFICITY)):
                if checked is not None:
                    result = replace(checked, on_inconclusive=rules.on_inconclusive.get(key))
                    if unusable or problem:
                        outcome = FAILED if unusable else INCONCLUSIVE
                        result = replace(result, outcome=outcome, note=unusable or problem or "")
                    yield result

    def _check_share(
        self, threshold: Threshold, summary: EvaluatorSummary, calibration: Calibration
    ) -> RuleResult:
        """Check a calibrated share. Unknown human labels may be misspelled: they count against the rule."""
        label, unknown, note = threshold.measure, set[str](), ""
        if not threshold.is_lower_bound:
            unknown = calibration.human_labels - set(self.scale.labels or summary.labels) - {label}
        if unknown:
            listed = ", ".join(map(repr, sorted(unknown)[:LABELS_NAMED]))
            note = on_one_line(f"unknown human labels count against the rule: {listed}")
        elif label not in calibration.human_labels:
            note = self._label_hint(label, summary)
        result = _within(threshold.comparison, threshold.bound, calibration.share(label, unknown))
        result = replace(result, evaluator=threshold.evaluator, measure=CALIBRATED_SHARE + label, note=note)
        if result.outcome != INCONCLUSIVE or note:
            return result
        for labels in calibration.more_labels():
            more = _within(threshold.comparison, threshold.bound, labels.share(label))
            if more.outcome != INCONCLUSIVE:
                return replace(result, note=f"about {labels.labelled:,} human labels needed")
        return replace(result, note="human labels of all evaluations would not be enough")


def _too_few_rejected(threshold: Threshold, calibration: Calibration) -> str | None:
    """Return why there are too few human labels of the evaluations that the evaluator rejects; else None."""
    is_own = not threshold.is_lower_bound
    rejected = [each for each in calibration.strata if (each.label == threshold.measure) == is_own]
    labelled = round(sum(each.labelled for each in rejected))
    needed = min(MIN_REJECTED, sum(each.evaluated for each in rejected))
    if not calibration.labelled:
        return "no human labels"
    if labelled >= needed:
        return None
    which = f"with{'' if is_own else 'out'} the label {threshold.measure!r}"
    return on_one_line(f"{needed} human labels of evaluations {which} needed; there are {labelled}")


def _check_trust(threshold: Threshold, least: float | None, calibration: Calibration) -> RuleResult | None:
    """Check the share of the bad answers that the evaluator finds, too, if there is a rule on it."""
    if least is None:
        return None
    label = threshold.measure
    if threshold.is_lower_bound:
        measure, estimate = SPECIFICITY + label, calibration.specificity(label)
    else:
        measure, estimate = SENSITIVITY + label, calibration.sensitivity(label)
    return replace(_within(">=", least, estimate), evaluator=threshold.evaluator, measure=measure)


def _within(comparison: str, bound: float, estimate: Estimate) -> RuleResult:
    """Return the result of a rule on an estimate, without the names of evaluator and measure."""
    value, low, high = estimate
    margin = None if value is None else value - bound
    return RuleResult(
        evaluator="",
        measure="",
        rule=f"{comparison} {bound:g}",
        outcome=decide(comparison, (low, high), bound),
        measured=value,
        margin=-margin if margin is not None and comparison in ("<=", "<") else margin,
        low=low,
        high=high,
    )


def check_summary(
    rules: Sequence[EvaluatorRules],
    summary: Mapping[str, Any],
    *,
    baseline: Any = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    score_ranges: Mapping[str, Range] | None = None,
    max_error_rate: float = 1.0,
    confidence: float | None = None,
    across_evaluator_versions: bool = False,
    accept_unverified: bool = False,
) -> list[RuleResult]:
    """Check a summary of results, and return one result per rule. The arguments are those of the operator."""
    evaluators = read_evaluators(summary, "summary")
    labels, score_ranges = labels or {}, score_ranges or {}
    check_labels(rules, labels)
    check_score_ranges(rules, score_ranges)
    windows = list_summaries(summary.get("baseline") if baseline is None else baseline)
    windows = [window for window in windows if not _is_same_window(summary, window)]
    earlier = [read_evaluators(window, "baseline") for window in windows]
    is_partial = any(window.get("complete") is False for window in windows)
    results = [_completeness(summary, accept_unverified), *_error_rate(summary, max_error_rate)]
    for one in rules:
        name = one.evaluator
        if name not in evaluators:
            known = ", ".join(map(repr, sorted(evaluators))) or "none"
            note = f"no evaluation of this evaluator; evaluators with results: {known}"
            results.append(at_least(name, MIN_EVALUATED, 0, one.min_evaluated, note=note))
            continue
        now = EvaluatorSummary.read(name, evaluators[name])
        before = [EvaluatorSummary.read(name, window[name]) for window in earlier if window.get(name)]
        merged = EvaluatorSummary.merge(before) if before else None
        version_change = changed_in_hub(summary, name) if baseline is None else changed_since(before, now)
        scale = Scale(
            labels=labels.get(name), score_range=score_ranges.get(name), counts_missing=one.counts_missing
        )
        check = EvaluatorCheck(one, scale, now.labels, confidence, across_evaluator_versions, is_partial)
        results += check.check(now, merged, version_change)
    return results


def verdict(
    results: Sequence[RuleResult], *, on_failure: str = "fail", on_inconclusive: str = "fail"
) -> dict[str, Any]:
    """Return the results, the outcome of the gate and its reaction as JSON values."""
    outcomes = {result.outcome for result in results}
    outcome = next(each for each in (FAILED, INCONCLUSIVE, PASSED) if each in outcomes)
    reactions = {PASSED: "pass", FAILED: on_failure}
    results = [replace(each, on_inconclusive=each.on_inconclusive or on_inconclusive) for each in results]
    settings = {reactions.get(each.outcome) or each.on_inconclusive for each in results}
    reaction = next(each for each in REACTIONS if each in settings)
    return {
        "passed": reaction == "pass",
        "outcome": outcome,
        "reaction": reaction,
        "rules": [{**asdict(result), "passed": result.passed} for result in results],
    }


def _is_same_window(summary: Mapping[str, Any], other: Any) -> bool:
    """Return whether two summaries are of one run, or of one task and window."""
    return isinstance(other, Mapping) and any(
        all(summary.get(key) is not None and summary.get(key) == other.get(key) for key in keys)
        for keys in (("run_id",), ("online_task_id", "data_start_time", "data_end_time"))
    )


def _completeness(summary: Mapping[str, Any], accept_unverified: bool) -> RuleResult:
    """Check that all evaluations were read: incomplete results never pass."""
    complete, note = summary.get("complete"), ""
    passed = complete is True or (complete is not False and accept_unverified)
    if complete is not True:
        note = str(summary.get("incomplete_reason") or "it is unknown whether all evaluations were read")
    if complete is not False and not passed:
        note += ". Set accept_unverified=True to accept such results"
    read, expected = finite(summary.get("read")), finite(summary.get("expected"))
    return RuleResult(
        evaluator=ALL_EVALUATORS,
        measure="complete",
        rule="all evaluations" if expected is None else f">= {expected:g}",
        measured=read,
        margin=None if read is None or expected is None else read - expected,
        outcome=PASSED if passed else FAILED,
        note=on_one_line(note),
    )


def _error_rate(summary: Mapping[str, Any], bound: float) -> Iterator[RuleResult]:
    """Check the share of items whose evaluation failed, if there are any."""
    errors, evaluated = finite(summary.get("errors")), finite(summary.get("expected"))
    if not errors:
        return
    rate = errors / (errors + (evaluated or 0))
    yield RuleResult(
        evaluator=ALL_EVALUATORS,
        measure="error_rate",
        rule=f"<= {bound:g}",
        measured=rate,
        margin=bound - rate,
        outcome=PASSED if rate <= bound else FAILED,
        note=f"the evaluation of {errors:g} items failed",
    )

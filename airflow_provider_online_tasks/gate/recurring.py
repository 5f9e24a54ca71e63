"""Check rules on shares over the windows of a recurring gate, within a budget of false alarms per year.

Each gate leaves a record of its window. The next gate reads the records of all earlier windows and calculates
everything from them again: a window that is checked again replaces its record, and the order of the checks is
irrelevant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise, takewhile
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.checks import (
    ALL_EVALUATORS,
    DROP_OF,
    FAILED,
    INCONCLUSIVE,
    PASSED,
    RuleResult,
)
from airflow_provider_online_tasks.gate.detector import (
    WINDOWS_FOR_DEVIATION,
    Budget,
    detect,
    find_drops,
    windows_per_year,
)
from airflow_provider_online_tasks.gate.intervals import share_interval
from airflow_provider_online_tasks.gate.rules import (
    COMPARE,
    MIN_COVERAGE,
    SCORE_MEAN,
    EvaluatorRules,
    Threshold,
)
from airflow_provider_online_tasks.gate.summary import (
    UNNAMED,
    EvaluatorSummary,
    Version,
    changed_in_metadata,
    read_evaluators,
    read_versions,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.gate.samples import Range

WINDOW_KEY = "eval_window"
# The evaluator, the measure, and the segment, if any.
Name = tuple[str, str, str | None]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Size = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class _Versions(BaseModel):
    """The versions of an evaluator: that of the Eval Hub, and those in the metadata of its evaluations."""

    version_id: str | None = None
    evaluator_versions: Annotated[frozenset[Version], BeforeValidator(read_versions)] = frozenset()


class Window(BaseModel):
    """The record of a window that a gate has checked.

    ``rules`` are the evaluators and measures of the gate's rules. ``values`` has the measured value of each
    rule on a share or mean, and the number of evaluations that are independent of each other. ``failing``
    names the rules that were in an incident: a later check may find that it began in another window.
    """

    model_config = ConfigDict(frozen=True)

    start: AwareDatetime
    end: AwareDatetime
    online_task_id: str | None = None
    checked_at: AwareDatetime
    rules: frozenset[tuple[str, str]]
    values: list[tuple[str, str, str | None, _Number, _Size]]
    versions: dict[str, _Versions]
    failing: frozenset[Name] = frozenset()

    @classmethod
    def read(cls, record: Any) -> Window | None:
        """Return a record as a window; None if it is not one."""
        try:
            is_text = isinstance(record, str)  # an XCom backend may read it as an object
            return cls.model_validate_json(record) if is_text else cls.model_validate(record)
        except ValidationError:
            return None

    @cached_property
    def by_name(self) -> dict[Name, list[float]]:
        """The measured values and sizes by evaluator, measure and segment."""
        return {(evaluator, measure, segment): rest for evaluator, measure, segment, *rest in self.values}

    def replacing(self, older: Window | None) -> Window:
        """Return the window with the values of an older check whose rules this one didn't have."""
        if older is None:
            return self
        others = [value for value in older.values if value[:2] not in self.rules]
        update = {
            "rules": self.rules | older.rules,
            "values": [*self.values, *others],
            "versions": {**older.versions, **self.versions},
            "failing": self.failing | {name for name in older.failing if name[:2] not in self.rules},
        }
        return self.model_copy(update=update)


class Checked(NamedTuple):
    """The results of a gate, the record of its window, and the windows of the history with this one."""

    results: list[RuleResult]
    record: str
    windows: list[Window]


@dataclass(frozen=True, kw_only=True)
class RecurringCheck:
    """Checks the rules of a gate on its window and the earlier ones.

    :param false_alarms_per_year: the budget of all rules together.
    :param across_versions: whether the history continues when the evaluator version changes.
    """

    rules: Sequence[EvaluatorRules]
    summary: Mapping[str, Any]
    score_ranges: Mapping[str, Range]
    false_alarms_per_year: float
    across_versions: bool = False

    @cached_property
    def budget(self) -> Budget:
        """The budget for the length of the window and the number of rules, each segment counted."""
        evaluators = read_evaluators(self.summary, "summary")
        start, end = self._ends
        number = 0
        for each in self.rules:
            number += len(each.thresholds)
            if each.max_drop is not None:
                number += sum(threshold.can_drop for threshold in each.thresholds)
            if each.each_segment is not None and (name := each.evaluator) in evaluators:
                segments = EvaluatorSummary.read(name, evaluators[name]).segments
                number += len(each.each_segment.thresholds) * len(segments or (None,))
        return Budget(
            false_alarms_per_year=self.false_alarms_per_year,
            windows_per_year=windows_per_year(end - start),
            rules=max(1, number),
        )

    @property
    def _ends(self) -> tuple[datetime, datetime]:
        ends = [self.summary.get(key) for key in ("data_start_time", "data_end_time")]
        try:
            start, end = map(parse_time, ends)
        except ValueError:
            start = end = datetime.max.replace(tzinfo=UTC)
        if start >= end:
            raise InvalidInput(
                f"false_alarms_per_year needs the window of the summary, not from {shown(ends[0])} to "
                f"{shown(ends[1])}. Pass the result of EvalResultsOperator unchanged."
            )
        return start, end

    def check(self, results: Sequence[RuleResult], earlier: Iterable[Any]) -> Checked:
        """Return the results with the outcomes that the history and the budget lead to.

        The record is JSON text, because Airflow needs much longer to read nested values.

        :param results: those of this window alone.
        :param earlier: the records of other windows; what is not a record is ignored.
        """
        record = self._record(results)
        windows = self._windows(Window.model_validate(record), earlier)
        concluded = self._conclude(results, windows)
        record["failing"] = [_name(result) for result in concluded if result.failing_windows]
        return Checked(concluded, json.dumps(record, separators=(",", ":")), windows)

    def _record(self, results: Sequence[RuleResult]) -> dict[str, Any]:
        """Return the record of this window. It has no values of incomplete results.

        These have missing evaluations, too many errors, or a coverage that is too small.
        """
        start, end = self._ends
        incomplete = {
            result.evaluator
            for result in results
            if not result.passed and (result.evaluator == ALL_EVALUATORS or result.measure == MIN_COVERAGE)
        }
        measured = [
            result
            for result in results
            if incomplete.isdisjoint((ALL_EVALUATORS, result.evaluator)) and self._is_measured(result)
        ]
        versions = {}
        for name in {result.evaluator for result in measured}:
            figures = self.summary["evaluators"][name]
            versions[name] = {key: value for key in _Versions.model_fields if (value := figures.get(key))}
        return {
            "start": wire_time(start),
            "end": wire_time(end),
            "online_task_id": self.summary.get("online_task_id"),
            "checked_at": wire_time(datetime.now(UTC)),
            "rules": sorted(self._rule_names),
            "values": [[*_name(result), result.measured, _size(result)] for result in measured],
            "versions": versions,
        }

    def _windows(self, current: Window, earlier: Iterable[Any]) -> list[Window]:
        """Return the windows of the history in order, with this one, which may have no values, at the end.

        Of several records of a window, the newest counts for each rule. No evaluation counts twice: this
        window counts before those that overlap with it, and among other windows the one that ends first.
        Windows without values of this gate's rules, such as those of other map indexes, don't count.
        """
        newest: dict[tuple[datetime, datetime], Window] = {}
        for window in sorted(filter(None, map(Window.read, earlier)), key=lambda each: each.checked_at):
            if window.online_task_id == current.online_task_id and window.end <= current.start:
                ends = window.start, window.end
                newest[ends] = window.replacing(newest.get(ends))
        kept: list[Window] = []
        for window in sorted(newest.values(), key=lambda each: (each.end, current.end - each.start)):
            has_values = any(
                (evaluator, measure) in current.rules for evaluator, measure, *_ in window.values
            )
            if has_values and (not kept or window.start >= kept[-1].end):
                kept.append(window)
        return [*kept, current]

    def _conclude(self, results: Iterable[RuleResult], windows: Sequence[Window]) -> list[RuleResult]:
        restarts = {each.evaluator: self._last_restart(each.evaluator, windows) for each in self.rules}

        def concluded(result: RuleResult) -> RuleResult:
            threshold = self._threshold_of(result)
            scale = threshold and self._scale_of(threshold)
            if threshold and scale:
                bound = _favorable(threshold.bound, threshold, scale)
                if not 0 < bound < 1:
                    is_in_range = result.measured is None or scale[0] <= result.measured <= scale[1]
                    otherwise = FAILED if bound else INCONCLUSIVE
                    return _compared(result, threshold, otherwise) if is_in_range else result
                start, change = restarts[result.evaluator]
                result = self._with_history(result, threshold, scale, windows, start)
                is_new = change is not None and start == len(windows) - 1
                return replace(result, note=f"{result.note}; new history: {change}") if is_new else result
            if drop := self._drop_of(result):
                start, _ = restarts[result.evaluator]
                return self._drop_with_history(result, *drop, windows[start:])
            return _passed(result) if threshold and result.outcome == INCONCLUSIVE else result

        return [concluded(result) for result in results]

    def _with_history(
        self, result: RuleResult, threshold: Threshold, scale: Range, windows: Sequence[Window], start: int
    ) -> RuleResult:
        """Return the result of a rule on a share after the windows, of which those from ``start`` count."""
        name = _name(result)
        bound = _favorable(threshold.bound, threshold, scale)
        counted = [window for window in windows[start:] if name in window.by_name]
        values = [window.by_name[name] for window in counted]
        series = [(_favorable(value, threshold, scale), size) for value, size in values]
        evidence = detect(series, bound, self.budget)
        since = None if evidence.failing_since is None else _shown_time(counted[evidence.failing_since].start)
        begin = _shown_time(counted[evidence.start].start) if counted else None
        is_measured = name in windows[-1].by_name
        # Even without a single good evaluation, the window would not show that the share is below the bound.
        is_too_small = (
            is_measured
            and series[-1][0] < bound <= share_interval(0, series[-1][1], self.budget.confidence).high
        )
        if is_measured and since is not None:
            result = replace(result, outcome=FAILED)
        elif is_too_small:
            note = f"{_size(result):.3g} independent evaluations are too few for a failure in this window"
            result = replace(result, outcome=INCONCLUSIVE, note=note)
        elif is_measured:
            result = _passed(result)
        text = f"evidence {evidence.value:.3g} of {self.budget.threshold:,.0f} since {begin}"
        is_first = is_measured and evidence.failing_since == len(series) - 1
        verdict = "this window" if is_first else f"since {since}"
        parts = [verdict if since else "", result.note, text if begin else ""]
        result = replace(
            result,
            note="; ".join(filter(None, parts)),
            evidence=evidence.value,
            evidence_needed=self.budget.threshold,
            evidence_since=begin,
            failing_since=since,
        )
        if not is_measured:
            return result
        if since is not None:
            failed = takewhile(lambda window: name in window.failing, reversed(counted[:-1]))
            return replace(result, failing_windows=1 + len(list(failed)))
        previous = [window for window in windows[:-1] if name in window.by_name][-1:]
        return replace(result, recovered=any(name in window.failing for window in previous))

    def _drop_with_history(
        self, result: RuleResult, threshold: Threshold, max_drop: float, windows: Sequence[Window]
    ) -> RuleResult:
        """Return the result of ``max_drop`` compared with the windows since the history began."""
        name = result.evaluator, threshold.measure, None
        scale = self._scale_of(threshold)
        if scale is None:
            return _passed(result) if result.outcome == INCONCLUSIVE else result
        if name not in windows[-1].by_name:
            return result  # the rule on the measure itself says why
        low, high = scale
        series = [
            (_favorable(value, threshold, scale), size)
            for value, size in (window.by_name[name] for window in windows if name in window.by_name)
        ]
        shares, dropped = find_drops(series, max_drop / (high - low), self.budget.confidence)
        if len(shares) < WINDOWS_FOR_DEVIATION:
            note = f"needs {WINDOWS_FOR_DEVIATION} earlier windows, and there are {len(shares)}"
            return replace(result, outcome=INCONCLUSIVE, note=note, low=None, high=None)
        drop = (fmean(shares) - series[-1][0]) * (high - low)
        return replace(
            result,
            outcome=FAILED if dropped[-1] else PASSED,
            measured=drop,
            margin=max_drop - drop,
            note=f"was {low + fmean(shares) * (high - low):.4g} in {len(shares)} windows",
            low=None,
            high=None,
        )

    def _drop_of(self, result: RuleResult) -> tuple[Threshold, float] | None:
        """Return the rule whose drop a result is about, and the drop that is allowed; None for others."""
        for rules in self.rules:
            for threshold in rules.thresholds if rules.max_drop is not None else ():
                of_drop = (rules.evaluator, DROP_OF + threshold.measure, f"<= {rules.max_drop:g}")
                if of_drop == (result.evaluator, result.measure, result.rule) and result.segment is None:
                    return threshold, rules.max_drop or 0.0
        return None

    def _threshold_of(self, result: RuleResult) -> Threshold | None:
        """Return the rule on a label or score that a result is about; None for other rules and ``==``."""
        for rules in self.rules:
            part = rules if result.segment is None else rules.each_segment
            for threshold in part.thresholds if part else ():
                same = (threshold.evaluator, threshold.measure, threshold.text)
                if same == (result.evaluator, result.measure, result.rule) and threshold.comparison != "==":
                    return threshold
        return None

    @cached_property
    def _rule_names(self) -> set[tuple[str, str]]:
        """The evaluators and measures of the rules."""
        return {(each.evaluator, rule.measure) for each in self.rules for rule in each.all_thresholds}

    def _scale_of(self, threshold: Threshold) -> Range | None:
        """Return the range of a measure; None if it has none."""
        name = threshold.evaluator
        if threshold.is_label:
            return (0, 1)
        if threshold.measure != SCORE_MEAN:
            return None
        is_binary = (self.summary["evaluators"].get(name) or {}).get("score_is_binary")
        return self.score_ranges.get(name) or ((0, 1) if is_binary else None)

    def _is_measured(self, result: RuleResult) -> bool:
        """Return whether a result is about a measured value, not about missing or too few evaluations."""
        threshold = self._threshold_of(result)
        is_known = result.measured is not None and not result.has_problem
        return is_known and threshold is not None and threshold.quantile is None

    def _last_restart(self, evaluator: str, windows: Sequence[Window]) -> tuple[int, str | None]:
        """Return the window since which the evaluator has its version, and what changed then."""
        restart, change = 0, None
        version_id: str | None = None
        versions: frozenset[Version] = frozenset()
        for number, window in enumerate(() if self.across_versions else windows):
            now = window.versions.get(evaluator) or _Versions()
            text = changed_in_metadata(versions, now.evaluator_versions)
            if version_id and now.version_id and version_id != now.version_id:
                text = f"the evaluator version changed from {version_id} to {now.version_id}"
            if text:
                restart, change = number, text
            version_id = now.version_id or version_id
            versions = now.evaluator_versions - {UNNAMED} or versions
        return restart, change


def history_text(windows: Sequence[Window]) -> str:
    """Return how many windows with values a history has, and how many gaps are between them."""
    length = windows[-1].end - windows[-1].start
    windows = [window for window in windows if window.values]
    if not windows:
        return "The history has no windows with results."
    gaps = sum(later.start - earlier.end > length / 2 for earlier, later in pairwise(windows))
    text = f"The history has {_counted(len(windows), 'window')} since {_shown_time(windows[0].start)}"
    return f"{text}, with {_counted(gaps, 'gap')}." if gaps else f"{text}."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _passed(result: RuleResult) -> RuleResult:
    """Return a result that passes, unless the evaluations are not enough for an interval."""
    if result.has_problem or (result.low, result.high) == (None, None):
        return result
    return replace(result, outcome=PASSED, evaluations_needed=None)


def _compared(result: RuleResult, threshold: Threshold, otherwise: str) -> RuleResult:
    """Return the result of a rule whose bound is at an end of the range: its measured value is compared."""
    if result.measured is None or result.has_problem:
        return result
    is_satisfied = COMPARE[threshold.comparison](result.measured, threshold.bound)
    return replace(result, outcome=PASSED if is_satisfied else otherwise, evaluations_needed=None)


def _favorable(value: float, threshold: Threshold, scale: Range) -> float:
    """Return a value as a share from 0 to 1, of which more is better."""
    low, high = scale
    share = min(1.0, max(0.0, (value - low) / (high - low)))
    return share if threshold.is_lower_bound else 1 - share


def _size(result: RuleResult) -> float:
    """Return the number of evaluations that are independent of each other, at least 1."""
    size = result.effective_evaluations
    return max(1, size if size is not None else result.evaluations or 1)


def _name(result: RuleResult) -> Name:
    return result.evaluator, result.measure, result.segment


def _shown_time(moment: datetime) -> str:
    """Return a time as text, at midnight only its date."""
    return wire_time(moment).removesuffix("T00:00:00Z")

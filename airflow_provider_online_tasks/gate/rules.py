"""The rules of a gate, as a DAG author writes them.

``{"correctness": {"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 200, "max_drop": 0.02,
"each_segment": {"correct": ">= 0.9", "min_evaluated": 30, "segments": ["free", "paid"]},
"calibrated": {"correct": ">= 0.9", "min_human_labels": 100, "min_specificity": 0.6}}}``
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal, get_args

from airflow_provider_online_tasks._text import shown, shown_name
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import read_names, rendered_number
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_templated, key_problem

MIN_EVALUATED, MIN_COVERAGE = "min_evaluated", "min_coverage"
MAX_DROP, MAX_MISSING, MISSING = "max_drop", "max_missing", "missing_evaluations"
EACH_SEGMENT, SEGMENTS, SCORE_MEAN = "each_segment", "segments", "score_mean"
CALIBRATED, MIN_HUMAN_LABELS, MIN_SPECIFICITY = "calibrated", "min_human_labels", "min_specificity"
ON_INCONCLUSIVE = "on_inconclusive"
OnInconclusive = Literal["fail", "skip", "ask", "pass"]  # the strictest first
_SETTINGS = frozenset(
    {MIN_EVALUATED, MIN_COVERAGE, MAX_DROP, MAX_MISSING, MISSING, ON_INCONCLUSIVE, EACH_SEGMENT, CALIBRATED}
)
_SEGMENT_SETTINGS = frozenset({MIN_EVALUATED, MAX_MISSING, ON_INCONCLUSIVE, SEGMENTS})
_CALIBRATED_SETTINGS = frozenset({MIN_HUMAN_LABELS, MIN_SPECIFICITY, ON_INCONCLUSIVE})
_QUANTILE = re.compile(r"score_p(\d\d)")
_WRONG_QUANTILE = re.compile(r"score_p(?:\d|\d{3,})?")
_THRESHOLD = re.compile(r"\s*(>=|<=|==|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%?)\s*")
# The arithmetic of shares and means is not exact.
MIN_CONFIDENCE, MAX_CONFIDENCE = 0.5, 0.999999
TOLERANCE = 1e-9
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": lambda one, other: one >= other - TOLERANCE,
    ">": lambda one, other: one > other + TOLERANCE,
    "<=": lambda one, other: one <= other + TOLERANCE,
    "<": lambda one, other: one < other - TOLERANCE,
    "==": lambda one, other: math.isclose(one, other, rel_tol=0, abs_tol=TOLERANCE),
}


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A rule on a measure: a label (its share is compared), ``score_mean``, or a quantile (``score_p05``)."""

    evaluator: str
    measure: str
    comparison: str
    bound: float

    @property
    def quantile(self) -> int | None:
        """The percentile that the measure is; None for other measures."""
        match = _QUANTILE.fullmatch(self.measure)
        return int(match[1]) if match else None

    @property
    def is_label(self) -> bool:
        """Whether the measure is the share of a label."""
        return self.measure != SCORE_MEAN and self.quantile is None

    @property
    def is_lower_bound(self) -> bool:
        """Whether higher is better."""
        return self.comparison in (">=", ">")

    @property
    def can_drop(self) -> bool:
        """Whether ``max_drop`` applies to the measure."""
        return self.is_lower_bound and self.quantile is None

    @property
    def text(self) -> str:
        """The rule as text."""
        return f"{self.comparison} {self.bound:g}"

    def margin(self, measured: float) -> float:
        """Return how far a measured value is from the bound; 0 or more if it satisfies the rule."""
        distance = measured - self.bound
        if self.comparison == "==":
            return -abs(distance)
        return distance if self.is_lower_bound else -distance

    @classmethod
    def read(cls, evaluator: str, measure: str, rule: Any) -> Threshold:
        """Parse a rule; raise InvalidInput if it cannot be parsed."""
        where = f"Rule {shown(rule)} for {shown_name(evaluator)}.{shown_name(measure)}"
        match = _THRESHOLD.fullmatch(rule) if isinstance(rule, str) else None
        known = (*_SETTINGS, *_CALIBRATED_SETTINGS, SEGMENTS, SCORE_MEAN)
        near = get_close_matches(measure, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        if match is None:
            raise InvalidInput(
                f'{where} cannot be parsed.{hint} Write a rule as ">= 0.95", "> 0.9", "<= 5%" or "== 0".'
            )
        if _WRONG_QUANTILE.fullmatch(measure):
            raise InvalidInput(f"{where}: a quantile has two digits, such as 'score_p05' or 'score_p99'.")
        comparison, number, percent = match.groups()
        bound = float(Decimal(number) / (100 if percent else 1))
        threshold = cls(evaluator=evaluator, measure=measure, comparison=comparison, bound=bound)
        if not math.isfinite(bound):
            raise InvalidInput(f"{where}: the bound must be a finite number.")
        if threshold.is_label and not 0 <= bound <= 1:
            raise InvalidInput(
                f"{where}: the share of a label must be from 0 to 1, or from 0% to 100%.{hint}"
            )
        return threshold


@dataclass(frozen=True, kw_only=True)
class CalibratedRules:
    """The rules on shares that are calibrated by human labels, and on the trust in the evaluator."""

    thresholds: tuple[Threshold, ...]
    min_human_labels: int
    min_specificity: float | None = None
    on_inconclusive: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EvaluatorRules:
    """The rules for one evaluator. ``segments`` are the segments that must exist.

    ``on_inconclusive`` says what rules do if they are inconclusive; the gate decides on the others.
    """

    evaluator: str
    thresholds: tuple[Threshold, ...]
    min_evaluated: int
    max_missing: float
    counts_missing: bool = False
    max_drop: float | None = None
    min_coverage: float | None = None
    on_inconclusive: Mapping[str, str] = field(default_factory=dict)
    each_segment: EvaluatorRules | None = None
    calibrated: CalibratedRules | None = None
    segments: tuple[str, ...] = ()

    @property
    def parts(self) -> Sequence[EvaluatorRules | CalibratedRules]:
        """These rules, those on each segment, and those on calibrated shares."""
        return [part for part in (self, self.each_segment, self.calibrated) if part is not None]

    @property
    def all_thresholds(self) -> list[Threshold]:
        """The comparisons of all parts."""
        return [threshold for part in self.parts for threshold in part.thresholds]

    @property
    def reactions(self) -> set[str]:
        """What inconclusive rules of all parts do."""
        return {reaction for part in self.parts for reaction in part.on_inconclusive.values()}


def read_rules(
    rules: Any, *, min_evaluated: int = 1, skip_templates: bool = False
) -> tuple[EvaluatorRules, ...]:
    """Parse the rules of a gate; raise InvalidInput if one cannot be parsed.

    :param min_evaluated: the default for evaluators whose rules don't set it.
    :param skip_templates: whether to leave out values that are templates.
    """
    if not isinstance(rules, Mapping) or not rules:
        raise InvalidInput(
            f"rules must be a dict of evaluators and their rules, such as "
            f"{{'correctness': {{'correct': '>= 0.95'}}}}, not {shown(rules)}."
        )
    if skip_templates and (problem := key_problem(rules)):
        raise InvalidInput(f"rules {problem}")
    return tuple(
        _evaluator_rules(str(name), given, min_evaluated, skip_templates)
        for name, given in rules.items()
        if not (skip_templates and is_leaf_template(given))
    )


def check_rules(
    rules: Any, *, labels: Any, min_evaluated: int, score_ranges: Any = None, confidence: float | None = None
) -> tuple[EvaluatorRules, ...]:
    """Check the rules when the DAG is parsed: literal values, and rules across values if all are literal.

    Return the rules that are literals.
    """
    known_labels = None if is_templated(labels) else read_labels(labels)
    known_ranges = None if is_templated(score_ranges) else read_score_ranges(score_ranges)
    if is_leaf_template(rules):
        return ()
    read = read_rules(rules, min_evaluated=min_evaluated, skip_templates=True)
    check_bounds(read, confidence)
    if known_labels is not None:
        check_labels(read, known_labels)
    if known_ranges is not None:
        check_score_ranges(read, known_ranges)
    return read


def _evaluator_rules(
    name: str, given: Any, default_min: int, skip_templates: bool, settings: frozenset[str] = _SETTINGS
) -> EvaluatorRules:
    """Parse the rules for one evaluator. Every key that is not one of the settings is a measure."""
    if not isinstance(given, Mapping) or not given:
        raise InvalidInput(
            f"rules[{name!r}] must be a dict of the rules for the evaluator {name!r}, such as "
            f"{{'correct': '>= 0.95'}}, not {shown(given)}."
        )
    if misplaced := sorted((_SETTINGS - settings) & set(given)):
        raise InvalidInput(f"{name}.{EACH_SEGMENT} cannot have {misplaced[0]!r}.")
    # Rules across values are checked only if all values are known.
    is_partial = skip_templates and is_templated(given)
    if is_partial:
        if problem := key_problem(given):
            raise InvalidInput(f"rules[{name!r}] {problem}")
        nested = (EACH_SEGMENT, CALIBRATED)
        given = {key: value for key, value in given.items() if key in nested or not is_templated(value)}
    if misplaced := sorted({MIN_HUMAN_LABELS, MIN_SPECIFICITY} & set(given)):
        raise InvalidInput(f"{name}.{misplaced[0]} is about human labels. Move it into {name}.{CALIBRATED}.")

    def number(key: str, default: Any, form: str, is_valid: Callable[[float], bool]) -> Any:
        return _number(name, given, key, default, form=form, is_valid=is_valid)

    least = number(MIN_EVALUATED, default_min, "a positive integer", _is_count)
    missing = number(MAX_MISSING, 0, "from 0 to below 1", lambda n: 0 <= n < 1)
    drop = number(MAX_DROP, None, "a number of at least 0", lambda n: n >= 0)
    coverage = number(MIN_COVERAGE, None, "above 0 and at most 1", lambda n: 0 < n <= 1)
    thresholds = tuple(
        Threshold.read(name, str(measure), rule) for measure, rule in given.items() if measure not in settings
    )
    if drop is not None and not is_partial and not any(one.can_drop for one in thresholds):
        raise InvalidInput(
            f"{name}.{MAX_DROP} needs a rule with a lower bound on a label or score_mean, such as "
            f"'correct': '>= 0.95'."
        )
    measures = [MIN_EVALUATED, *(one.measure for one in thresholds), *[MAX_DROP] * (drop is not None)]
    # Outside of each_segment, "segments" is a label like any other.
    segments = given.get(SEGMENTS, ()) if SEGMENTS in settings else ()
    segments = read_names(segments, f"{name}.{EACH_SEGMENT}.{SEGMENTS}", such_as="['free', 'paid']")
    return EvaluatorRules(
        evaluator=name,
        thresholds=thresholds,
        min_evaluated=int(least),
        max_missing=missing,
        counts_missing=_counts_missing(name, given, thresholds),
        max_drop=drop,
        min_coverage=coverage,
        on_inconclusive=_read_reactions(name, given.get(ON_INCONCLUSIVE), measures, is_partial),
        each_segment=_segment_rules(name, given.get(EACH_SEGMENT), is_partial),
        calibrated=_calibrated_rules(name, given.get(CALIBRATED), is_partial),
        segments=tuple(dict.fromkeys(segments)),
    )


def _is_count(number: float) -> bool:
    return number >= 1 and number.is_integer()


def _number(
    where: str,
    given: Mapping[Any, Any],
    key: str,
    default: Any,
    *,
    form: str,
    is_valid: Callable[[float], bool],
) -> Any:
    """Read a number among the settings of an evaluator."""
    value = given.get(key, default)
    if value is None and default is None:
        return None
    read = rendered_number(value)
    if read is None or not is_valid(read):
        raise InvalidInput(f"{where}.{key} must be {form}, not {shown(value)}.")
    return read


def _counts_missing(name: str, given: Mapping[Any, Any], thresholds: Iterable[Threshold]) -> bool:
    """Return whether missing evaluations count as failures."""
    value = given.get(MISSING, "ignore")
    if value not in ("ignore", "fail"):
        raise InvalidInput(f"{name}.{MISSING} must be one of ignore, fail, not {shown(value)}.")
    if value == "fail" and MAX_MISSING in given:
        raise InvalidInput(f"Set only one of {name}.{MAX_MISSING} and {name}.{MISSING}.")
    if value == "fail" and given.get(CALIBRATED) is not None:
        raise InvalidInput(
            f"{name}.{MISSING} cannot be used with {name}.{CALIBRATED}. Set {MAX_MISSING} and {MIN_COVERAGE}."
        )
    if value == "fail" and any(threshold.quantile is not None for threshold in thresholds):
        raise InvalidInput(f"{name}.{MISSING} cannot be used with rules on quantiles.")
    return bool(value == "fail")


def _read_reactions(name: str, given: Any, measures: Iterable[str], is_partial: bool) -> dict[str, str]:
    """Read ``on_inconclusive`` of an evaluator: one reaction, or a reaction per rule."""
    if given is None:
        return {}
    allowed = get_args(OnInconclusive)
    known = set(measures)
    reactions = given if isinstance(given, Mapping) else dict.fromkeys(known, given)
    for rule, reaction in reactions.items():
        if reaction not in allowed:
            raise InvalidInput(
                f"{name}.{ON_INCONCLUSIVE} must be one of {', '.join(allowed)}, or a dict of rules and these "
                f"words such as {{'{next(iter(measures))}': 'pass'}}, not {shown(given)}."
            )
        if rule not in known and not is_partial:
            raise InvalidInput(f"{name}.{ON_INCONCLUSIVE} names {shown(rule)}, which has no rule.")
    return dict(reactions)


def _segment_rules(name: str, given: Any, is_partial: bool) -> EvaluatorRules | None:
    if given is None or (is_partial and is_leaf_template(given)):
        return None
    rules = _evaluator_rules(name, given, 1, is_partial, _SEGMENT_SETTINGS)
    has_quantiles = any(one.quantile is not None for one in rules.thresholds)
    if has_quantiles or not (rules.thresholds or is_partial):
        raise InvalidInput(f"{name}.{EACH_SEGMENT} needs rules on labels or score_mean.")
    return rules


def _calibrated_rules(name: str, given: Any, is_partial: bool) -> CalibratedRules | None:
    """Read the rules on human labels. Every key that is not one of the settings is a label."""
    if given is None or (is_partial and is_leaf_template(given)):
        return None
    where = f"{name}.{CALIBRATED}"
    if not isinstance(given, Mapping) or not given:
        raise InvalidInput(f"{where} must be a dict such as {{'correct': '>= 0.9'}}, not {shown(given)}.")
    if misplaced := sorted((_SETTINGS - _CALIBRATED_SETTINGS) & set(given)):
        raise InvalidInput(f"{where} cannot have {misplaced[0]!r}.")
    if is_partial:
        if problem := key_problem(given):
            raise InvalidInput(f"rules[{name!r}][{CALIBRATED!r}] {problem}")
        given = {key: value for key, value in given.items() if not is_templated(value)}
    thresholds = tuple(
        Threshold.read(name, str(label), rule)
        for label, rule in given.items()
        if label not in _CALIBRATED_SETTINGS
    )
    if not all(each.is_label and each.comparison != "==" for each in thresholds):
        raise InvalidInput(f"{where} compares shares of labels with >=, >, <= or <.")
    if not (thresholds or is_partial):
        raise InvalidInput(f"{where} needs a rule on a label, such as 'correct': '>= 0.9'.")
    measures = [MIN_HUMAN_LABELS, MIN_SPECIFICITY, *(each.measure for each in thresholds)]
    least = _number(where, given, MIN_HUMAN_LABELS, 1, form="a positive integer", is_valid=_is_count)
    specificity = _number(
        where, given, MIN_SPECIFICITY, None, form="above 0 and below 1", is_valid=lambda n: 0 < n < 1
    )
    return CalibratedRules(
        thresholds=thresholds,
        min_human_labels=int(least),
        min_specificity=specificity,
        on_inconclusive=_read_reactions(where, given.get(ON_INCONCLUSIVE), measures, is_partial),
    )


def read_labels(labels: Any) -> dict[str, tuple[str, ...]]:
    """Read the labels of the evaluators: evaluator name to the list of its labels."""
    such_as = "['correct', 'incorrect']"
    if labels is not None and not isinstance(labels, Mapping):
        raise InvalidInput(
            f"labels must be a dict of evaluators and their labels, such as {{'correctness': {such_as}}}, "
            f"not {shown(labels)}."
        )
    return {
        str(name): read_names(given, f"labels[{name!r}]", such_as=such_as)
        for name, given in (labels or {}).items()
    }


def read_score_ranges(score_ranges: Any) -> dict[str, tuple[float, float]]:
    """Read the possible scores of the evaluators: evaluator name to the lowest and the highest score."""
    such_as = "{'helpfulness': (1, 5)}"
    if not isinstance(score_ranges, Mapping | None):
        raise InvalidInput(f"score_ranges must be a dict such as {such_as}, not {shown(score_ranges)}.")
    ranges = {}
    for name, given in (score_ranges or {}).items():
        numbers = [rendered_number(end) for end in given] if isinstance(given, list | tuple) else []
        match numbers:
            case [float(low), float(high)] if low < high:
                ranges[str(name)] = (low, high)
            case _:
                raise InvalidInput(
                    f"score_ranges[{name!r}] must be the lowest and the highest score, such as {such_as}, "
                    f"not {shown(given)}."
                )
    return ranges


def check_labels(rules: Iterable[EvaluatorRules], labels: Mapping[str, Sequence[str]]) -> None:
    """Raise InvalidInput if a rule names an unknown label, or needs the labels and they are not known."""
    for evaluator in rules:
        name, known = evaluator.evaluator, labels.get(evaluator.evaluator)
        for threshold in filter(lambda each: each.is_label, evaluator.all_thresholds):
            if known is None:
                # The share of a misspelled label is 0.
                if not threshold.is_lower_bound and COMPARE[threshold.comparison](0.0, threshold.bound):
                    raise InvalidInput(
                        f"The rule {shown_name(name)}.{shown_name(threshold.measure)} {threshold.text} is "
                        f"always satisfied by a misspelled label. Set labels={{{name!r}: [...]}} with all "
                        f"labels of the evaluator."
                    )
            elif threshold.measure not in known:
                raise InvalidInput(
                    f"The rule {threshold.measure!r}: {threshold.text!r} names a label that evaluator "
                    f"{name!r} doesn't have. It has {', '.join(map(repr, known))}."
                )


def check_score_ranges(rules: Iterable[EvaluatorRules], score_ranges: Mapping[str, Any]) -> None:
    """Raise InvalidInput if missing scores count as failures, and their range is not known."""
    for evaluator in rules:
        has_scores = any(not threshold.is_label for threshold in evaluator.thresholds)
        if evaluator.counts_missing and has_scores and evaluator.evaluator not in score_ranges:
            name = evaluator.evaluator
            raise InvalidInput(
                f"{name}.{MISSING} needs the range of the scores. Set score_ranges={{{name!r}: (0, 1)}} with "
                f"the lowest and the highest score."
            )


def check_bounds(rules: Iterable[EvaluatorRules], confidence: float | None) -> None:
    """Raise InvalidInput if a rule on a label can never pass. No interval ends at 0 and 1 only."""
    for evaluator in rules:
        for part in evaluator.parts:
            has_interval = confidence is not None or part is evaluator.calibrated
            never = [(">", 1), (">=", 1), ("<", 0), ("<=", 0)] if has_interval else [(">", 1), ("<", 0)]
            for threshold in part.thresholds:
                if threshold.is_label and (threshold.comparison, threshold.bound) in never:
                    name, bound = f"{threshold.evaluator}.{threshold.measure}", f"{threshold.bound:g}"
                    advice = f'Use "== {bound}" to compare the measured share.'
                    if part is evaluator.calibrated:
                        advice = "Choose a bound between 0 and 1."
                    raise InvalidInput(
                        f"The rule {name} {threshold.text} can never pass"
                        f"{' with an interval' if has_interval else ''}. {advice}"
                    )

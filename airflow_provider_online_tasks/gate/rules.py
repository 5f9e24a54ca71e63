"""The rules of a gate, as they are written.

``{"correctness": {"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 200, "max_drop": 0.02,
"each_segment": {"correct": ">= 0.9", "min_evaluated": 30, "segments": ["free", "paid"]}}}``
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.templating import is_leaf_template, is_templated, key_problem
from airflow_provider_online_tasks.inputs.values import read_names, rendered_number

MIN_EVALUATED, MAX_DROP, MAX_MISSING = "min_evaluated", "max_drop", "max_missing"
MIN_COVERAGE = "min_coverage"
EACH_SEGMENT, SEGMENTS, SCORE_MEAN = "each_segment", "segments", "score_mean"
_SETTINGS = frozenset({MIN_EVALUATED, MIN_COVERAGE, MAX_DROP, MAX_MISSING, EACH_SEGMENT})
_IN_SEGMENTS = frozenset({MIN_EVALUATED, MAX_MISSING, SEGMENTS})
# What a template may stand for, when it is not known yet.
ANY_RULE = ">= 0"
_STAND_INS: Mapping[str, Any] = {
    MIN_EVALUATED: 1,
    MAX_DROP: 0,
    MAX_MISSING: 0,
    MIN_COVERAGE: 1,
    EACH_SEGMENT: {SCORE_MEAN: ANY_RULE},
    SEGMENTS: (),
}
_QUANTILE = re.compile(r"score_p(\d\d)")
_THRESHOLD = re.compile(r"\s*(>=|<=|==|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(%?)\s*")
COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": lambda one, other: math.isclose(one, other, rel_tol=0, abs_tol=1e-9),
}
LOWER_BOUNDS = frozenset({">=", ">"})
FORM = 'write it as ">= 0.95", "> 0.9", "<= 5%" or "== 0"'


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A rule on one measure of one evaluator.

    :param evaluator: the evaluator's column name.
    :param measure: a label (its share counts), ``score_mean``, or a quantile such as ``score_p05``.
    :param comparison: ``>=``, ``>``, ``<=``, ``<`` or ``==``.
    :param bound: what the measure is compared to.
    """

    evaluator: str
    measure: str
    comparison: str
    bound: float

    @property
    def quantile(self) -> int | None:
        """Which percentile of the scores the measure is; None for any other measure."""
        found = _QUANTILE.fullmatch(self.measure)
        return int(found[1]) if found else None

    @property
    def is_label(self) -> bool:
        """Whether the measure is the share of a label."""
        return self.measure != SCORE_MEAN and self.quantile is None

    @property
    def is_lower_bound(self) -> bool:
        """Whether more is better."""
        return self.comparison in LOWER_BOUNDS

    @property
    def needs_labels(self) -> bool:
        """Whether a misspelled label, whose share is 0, would keep the rule for ever."""
        return self.is_label and not self.is_lower_bound and COMPARE[self.comparison](0.0, self.bound)

    @property
    def text(self) -> str:
        """The rule as it is written."""
        return f"{self.comparison} {self.bound:g}"

    @classmethod
    def read(cls, evaluator: str, measure: str, rule: Any) -> Threshold:
        """Read a rule.

        :raises InvalidInput: it cannot be parsed.
        """
        found = _THRESHOLD.fullmatch(rule) if isinstance(rule, str) else None
        if found is None:
            raise InvalidInput(f"Rule {rule!r} for {evaluator}.{measure} cannot be read: {FORM}.")
        comparison, number, percent = found.groups()
        bound = float(number) / (100 if percent else 1)
        read = cls(evaluator=evaluator, measure=measure, comparison=comparison, bound=bound)
        if not math.isfinite(bound):
            raise InvalidInput(f"Rule {rule!r} for {evaluator}.{measure}: the bound is not a finite number.")
        if read.is_label and not 0 <= bound <= 1:
            raise InvalidInput(
                f"Rule {rule!r} for {evaluator}.{measure}: the share of a label is between 0 and 1, or 0 % "
                f"and 100 %."
            )
        return read


@dataclass(frozen=True, kw_only=True)
class EvaluatorRules:
    """The rules for one evaluator.

    :param evaluator: the evaluator's column name.
    :param thresholds: the rules on its measures.
    :param min_evaluated: the fewest evaluations that each of them needs.
    :param max_drop: the largest loss against the baseline, for the measures with a lower bound.
    :param max_missing: the largest share of evaluations that may lack the label or the score.
    :param min_coverage: the smallest share of the items in the window that has to be evaluated.
    :param each_segment: the rules that hold for every segment.
    :param segments: in the rules for segments: those that have to be there.
    """

    evaluator: str
    thresholds: tuple[Threshold, ...]
    min_evaluated: int
    max_drop: float | None
    max_missing: float
    min_coverage: float | None = None
    each_segment: EvaluatorRules | None = None
    segments: tuple[str, ...] = ()

    @property
    def all_thresholds(self) -> Iterator[Threshold]:
        """The rules on its measures, with those for segments."""
        yield from self.thresholds
        if self.each_segment is not None:
            yield from self.each_segment.thresholds


def read_rules(rules: Any, *, min_evaluated: int = 1) -> tuple[EvaluatorRules, ...]:
    """Read the rules of a gate.

    :param rules: evaluator name to rules, as in the module's example.
    :param min_evaluated: fewest evaluations for evaluators that do not say it themselves.
    :raises InvalidInput: a rule cannot be parsed, or there is none.
    """
    if not isinstance(rules, Mapping) or not rules:
        raise InvalidInput(
            "The gate has no rules: give {evaluator: {label: '>= 0.95'}}. A gate without rules would let "
            "everything pass."
        )
    return tuple(_evaluator_rules(str(name), given, min_evaluated) for name, given in rules.items())


def check_rules(rules: Any, *, labels: Any, min_evaluated: int) -> None:
    """Check the rules of a gate as far as they are known when the DAG is parsed.

    :param labels: what labels the evaluators have, as for :func:`read_labels`.
    :raises InvalidInput: a rule cannot be parsed, names an unknown label, or there is none.
    """
    if is_leaf_template(rules):
        return
    known = rules
    if isinstance(rules, Mapping) and rules:
        _check_keys(rules, "rules")
        known = {
            name: _filled_in(given, f"rules[{name!r}]") if isinstance(given, Mapping) else given
            for name, given in rules.items()
            if not is_leaf_template(given)
        }
        if not known:
            return
    read = read_rules(known, min_evaluated=min_evaluated)
    if not is_templated(labels):
        check_labels(read, read_labels(labels))


def _filled_in(given: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    """Return the rules for an evaluator with something that will do in place of each template."""
    _check_keys(given, where)
    found = {}
    for key, value in given.items():
        if isinstance(value, Mapping):
            found[key] = _filled_in(value, f"{where}[{key!r}]")
        else:
            found[key] = _STAND_INS.get(key, ANY_RULE) if is_templated(value) else value
    return found


def _check_keys(given: Mapping[Any, Any], where: str) -> None:
    if problem := key_problem(given):
        raise InvalidInput(f"{where} {problem}")


def _evaluator_rules(
    name: str, given: Any, default_min: int, *, settings: frozenset[str] = _SETTINGS
) -> EvaluatorRules:
    if not isinstance(given, Mapping) or not given:
        raise InvalidInput(f"The gate's rules for {name!r} must be a dict such as {{'correct': '>= 0.95'}}.")
    if misplaced := sorted((_SETTINGS - settings) & set(given)):
        raise InvalidInput(f"{name}.{EACH_SEGMENT} cannot hold {misplaced[0]!r}.")

    def number(key: str, default: Any, wanted: str, is_one: Callable[[float], bool]) -> float:
        value = given.get(key, default)
        found = rendered_number(value)
        if found is None or not is_one(found):
            raise InvalidInput(f"{name}.{key} must be {wanted}, not {shown(value)}.")
        return found

    least = number(
        MIN_EVALUATED, default_min, "a whole number from 1 on", lambda one: one >= 1 and one.is_integer()
    )
    missing = number(MAX_MISSING, 0, "a share from 0 to below 1", lambda one: 0 <= one < 1)
    drop = coverage = None
    if given.get(MAX_DROP) is not None:
        drop = number(MAX_DROP, None, "a number of 0 or more", lambda one: one >= 0)
    if given.get(MIN_COVERAGE) is not None:
        coverage = number(MIN_COVERAGE, None, "a share above 0, up to 1", lambda one: 0 < one <= 1)
    segments = given.get(EACH_SEGMENT)
    thresholds = tuple(
        Threshold.read(name, str(measure), rule) for measure, rule in given.items() if measure not in settings
    )
    if drop is not None and not any(one.is_lower_bound and one.quantile is None for one in thresholds):
        raise InvalidInput(
            f"{name}.{MAX_DROP} needs a label or score_mean with a lower bound, such as 'correct': '>= 0.95'."
        )
    # Elsewhere it is a label like any other.
    expected = given.get(SEGMENTS, ()) if SEGMENTS in settings else ()
    expected = read_names(expected, f"{name}.{EACH_SEGMENT}.{SEGMENTS}", such_as="['free', 'paid']")
    in_segments = None
    if segments is not None:
        in_segments = _evaluator_rules(name, segments, 1, settings=_IN_SEGMENTS)
        if not in_segments.thresholds or any(one.quantile is not None for one in in_segments.thresholds):
            raise InvalidInput(f"{name}.{EACH_SEGMENT} needs rules on labels or score_mean.")
    return EvaluatorRules(
        evaluator=name,
        thresholds=thresholds,
        min_evaluated=int(least),
        max_drop=drop,
        max_missing=missing,
        min_coverage=coverage,
        each_segment=in_segments,
        segments=tuple(dict.fromkeys(expected)),
    )


def read_labels(labels: Any) -> dict[str, tuple[str, ...]]:
    """Read what labels evaluators have.

    :param labels: evaluator name to the list of its labels; None if no labels are known.
    :raises InvalidInput: it is something else.
    """
    such_as = "['correct', 'incorrect']"
    if not isinstance(found := {} if labels is None else labels, Mapping):
        raise InvalidInput(
            f"labels must be a dict of evaluators and their labels, such as {{'correctness': {such_as}}}, "
            f"not {shown(labels)}."
        )
    return {
        str(name): read_names(given, f"labels[{name!r}]", such_as=such_as) for name, given in found.items()
    }


def check_labels(rules: Sequence[EvaluatorRules], labels: Mapping[str, Sequence[str]]) -> None:
    """Check that rules name labels which their evaluators have.

    :param labels: evaluator name to all its labels, as far as they are known.
    :raises InvalidInput: a label is unknown, or an upper bound is on a label of an evaluator whose labels are
        not given.
    """
    for one in rules:
        known = labels.get(one.evaluator)
        for threshold in one.all_thresholds:
            if not threshold.is_label:
                continue
            if known is not None and threshold.measure not in known:
                raise InvalidInput(
                    f"The gate's rule {threshold.measure!r}: {threshold.text!r} names a label that evaluator "
                    f"{one.evaluator!r} does not have. It has {', '.join(map(repr, known))}."
                )
            if known is None and threshold.needs_labels:
                raise InvalidInput(
                    f"The gate's rule {threshold.evaluator}.{threshold.measure} {threshold.text} would be "
                    f"kept by a misspelled label for ever: give labels={{{one.evaluator!r}: [...]}} with all "
                    f"labels of the evaluator."
                )

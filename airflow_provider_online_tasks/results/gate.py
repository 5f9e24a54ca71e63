"""Rules on the results of an eval: what they say, and whether they hold.

``{"correctness": {"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 200, "max_drop": 0.02}}``
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_online_tasks.exceptions import InvalidInput

MIN_EVALUATED, MAX_DROP, SCORE_MEAN = "min_evaluated", "max_drop", "score_mean"
_QUANTILE = re.compile(r"score_(p\d\d)")
_THRESHOLD = re.compile(r"\s*(>=|<=|==|>|<)\s*(-?\d+(?:\.\d+)?(?:[eE]-?\d+)?)\s*(%?)\s*")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": lambda one, other: math.isclose(one, other, rel_tol=0, abs_tol=1e-9),
}
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
    def is_label(self) -> bool:
        """Whether the measure is the share of a label."""
        return self.measure != SCORE_MEAN and not _QUANTILE.fullmatch(self.measure)

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
        if read.is_label and not 0 <= bound <= 1:
            raise InvalidInput(
                f"Rule {rule!r} for {evaluator}.{measure}: the share of a label is between 0 and 1, or 0 % "
                f"and 100 %."
            )
        return read


@dataclass(frozen=True, kw_only=True)
class EvaluatorRules:
    """The rules for one evaluator."""

    evaluator: str
    thresholds: tuple[Threshold, ...]
    min_evaluated: int
    max_drop: float | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Whether a rule held.

    :param evaluator: the evaluator's column name.
    :param measure: what was measured.
    :param rule: what is demanded.
    :param measured: what was found; None if there was nothing to measure.
    :param margin: by how much the rule holds (0 or more) or is broken (negative).
    :param held: whether it holds.
    :param note: what a person should know besides.
    """

    evaluator: str
    measure: str
    rule: str
    measured: float | None
    margin: float | None
    held: bool
    note: str = ""

    @property
    def measured_text(self) -> str:
        """What was found, for a person."""
        return "unknown" if self.measured is None else f"{self.measured:.4g}"


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


def _evaluator_rules(name: str, given: Any, default_min: int) -> EvaluatorRules:
    if not isinstance(given, Mapping) or not given:
        raise InvalidInput(f"The gate's rules for {name!r} must be a dict such as {{'correct': '>= 0.95'}}.")
    least, drop = given.get(MIN_EVALUATED, default_min), given.get(MAX_DROP)
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise InvalidInput(f"{name}.{MIN_EVALUATED} must be a whole number from 1 on, not {least!r}.")
    if drop is not None and (isinstance(drop, bool) or not isinstance(drop, int | float) or drop < 0):
        raise InvalidInput(f"{name}.{MAX_DROP} must be a number of 0 or more, not {drop!r}.")
    thresholds = tuple(
        Threshold.read(name, str(measure), rule)
        for measure, rule in given.items()
        if measure not in (MIN_EVALUATED, MAX_DROP)
    )
    if drop is not None and not any(one.comparison in (">=", ">") for one in thresholds):
        raise InvalidInput(
            f"{name}.{MAX_DROP} needs a measure with a lower bound, such as 'correct': '>= 0.95'."
        )
    return EvaluatorRules(evaluator=name, thresholds=thresholds, min_evaluated=least, max_drop=drop)


def check_labels(rules: Sequence[EvaluatorRules], labels: Mapping[str, Sequence[str]]) -> None:
    """Check that rules name labels which their evaluators have.

    :param labels: evaluator name to all its labels, as far as they are known.
    :raises InvalidInput: a label is unknown.
    """
    for one in rules:
        known = labels.get(one.evaluator)
        for threshold in one.thresholds:
            if threshold.is_label and known is not None and threshold.measure not in known:
                raise InvalidInput(
                    f"The gate's rule {threshold.measure!r}: {threshold.text!r} names a label that evaluator "
                    f"{one.evaluator!r} does not have. It has {', '.join(map(repr, known))}."
                )


def judge(
    rules: Sequence[EvaluatorRules],
    summary: Mapping[str, Any],
    *,
    previous: Mapping[str, Any] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> list[Finding]:
    """Hold results against the rules.

    :param summary: what ``EvalResultsOperator`` returned.
    :param previous: the same of an earlier window, for ``max_drop``.
    :param labels: evaluator name to all its labels, as far as they are known.
    :raises InvalidInput: the summary is none, or a label cannot be told from a misspelled one.
    """
    evaluators = _evaluators(summary, "summary")
    before = _evaluators(previous, "previous") if previous else {}
    check_labels(rules, labels or {})
    findings: list[Finding] = []
    for one in rules:
        found = evaluators.get(one.evaluator)
        if found is None:
            known = ", ".join(map(repr, sorted(evaluators))) or "none"
            findings.append(
                Finding(
                    evaluator=one.evaluator,
                    measure=MIN_EVALUATED,
                    rule=f">= {one.min_evaluated}",
                    measured=0,
                    margin=-float(one.min_evaluated),
                    held=False,
                    note=f"no evaluation of this evaluator; evaluators with results: {known}",
                )
            )
            continue
        evaluated = int(found["evaluated"])
        findings.append(
            Finding(
                evaluator=one.evaluator,
                measure=MIN_EVALUATED,
                rule=f">= {one.min_evaluated}",
                measured=evaluated,
                margin=float(evaluated - one.min_evaluated),
                held=evaluated >= one.min_evaluated,
                note="" if evaluated >= one.min_evaluated else "too few evaluations to tell",
            )
        )
        known_labels = (labels or {}).get(one.evaluator)
        for threshold in one.thresholds:
            _refuse_unknown_label(threshold, found, known_labels)
            findings.append(_finding(threshold, _measure(threshold, found)))
            if one.max_drop is not None and threshold.comparison in (">=", ">"):
                findings.append(_drop(one, threshold, found, before.get(one.evaluator)))
    return findings


def _evaluators(summary: Any, name: str) -> Mapping[str, Any]:
    evaluators = summary.get("evaluators") if isinstance(summary, Mapping) else None
    if not isinstance(evaluators, Mapping):
        raise InvalidInput(
            f"{name} must be what EvalResultsOperator returned, not {str(summary)[:80]!r}. Check the "
            f"upstream task's ID and that it ran."
        )
    return evaluators


def _refuse_unknown_label(
    threshold: Threshold, found: Mapping[str, Any], known: Sequence[str] | None
) -> None:
    if (
        not threshold.is_label
        or known is not None
        or not _COMPARE[threshold.comparison](0.0, threshold.bound)
    ):
        return
    if threshold.comparison in (">=", ">"):
        return
    # A label that no span carries meets the rule, and a misspelled one would meet it for ever.
    raise InvalidInput(
        f"The gate's rule {threshold.evaluator}.{threshold.measure} {threshold.text} can only be trusted if "
        f"the evaluator's labels are known: give labels={{{threshold.evaluator!r}: [...]}} with all of them. "
        f"Seen in these results: {', '.join(map(repr, found['labels'])) or 'none'}."
    )


def _measure(threshold: Threshold, found: Mapping[str, Any]) -> float | None:
    if threshold.measure == SCORE_MEAN:
        return _number(found.get("score_mean"))
    if quantile := _QUANTILE.fullmatch(threshold.measure):
        return _number((found.get("score_quantiles") or {}).get(quantile.group(1)))
    if not found["labels"]:
        return None
    return _number(found["labels"].get(threshold.measure, {"share": 0.0})["share"])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _finding(threshold: Threshold, measured: float | None) -> Finding:
    held = measured is not None and _COMPARE[threshold.comparison](measured, threshold.bound)
    margin = None
    if measured is not None:
        room = measured - threshold.bound
        margin = -abs(room) if threshold.comparison == "==" else room
        margin = -room if threshold.comparison in ("<", "<=") else margin
    note = "nothing to measure" if measured is None else ""
    if threshold.is_label and measured == 0 and not held:
        note = "no span carries this label; is it spelled as the evaluator's?"
    return Finding(
        evaluator=threshold.evaluator,
        measure=threshold.measure,
        rule=threshold.text,
        measured=measured,
        margin=margin,
        held=held,
        note=note,
    )


def _drop(
    rules: EvaluatorRules, threshold: Threshold, found: Mapping[str, Any], before: Mapping[str, Any] | None
) -> Finding:
    now = _measure(threshold, found)
    then = _measure(threshold, before) if before else None
    drop = None if now is None or then is None else then - now
    bound = rules.max_drop or 0.0
    return Finding(
        evaluator=rules.evaluator,
        measure=f"drop of {threshold.measure}",
        rule=f"<= {bound:g}",
        measured=drop,
        margin=None if drop is None else bound - drop,
        held=now is not None and (drop is None or drop <= bound + 1e-12),
        note="no earlier result to compare with" if then is None else f"was {then:.4g}",
    )


def table(findings: Sequence[Finding]) -> str:
    """Return the findings as a table for the log."""
    head = ("evaluator", "measure", "rule", "measured", "margin", "verdict")
    rows = [
        (
            one.evaluator,
            one.measure,
            one.rule,
            one.measured_text,
            "-" if one.margin is None else f"{one.margin:+.4g}",
            ("held" if one.held else "BROKEN") + (f" ({one.note})" if one.note else ""),
        )
        for one in findings
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def verdict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as plain JSON values."""
    return {"passed": all(one.held for one in findings), "rules": [asdict(one) for one in findings]}

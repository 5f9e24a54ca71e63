"""The summary of ``EvalResultsOperator`` as the gate reads it: validated, one object per evaluator."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from airflow_provider_online_tasks._text import on_one_line, shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.gate.intervals import Mean
from airflow_provider_online_tasks.inputs.arguments import finite

NO_SEGMENT, OTHER_SEGMENTS = "(none)", "(other)"
# Percentiles are exact up to this many scores, and from a random sample of this size beyond.
SCORES_KEPT = 10_000
PERCENTILES = 101
Version = frozenset[tuple[str, str]]
UNNAMED: Version = frozenset()

_KEY = re.compile(
    r"(evaluator|judge|template|prompt|model|version)(_?(id|name|hash|version))*", re.IGNORECASE
)


def read_evaluators(summary: Any, argument: str) -> Mapping[str, Any]:
    """Return the entries of the evaluators; raise InvalidInput if the argument is no summary."""
    evaluators = summary.get("evaluators") if isinstance(summary, Mapping) else None
    if not isinstance(evaluators, Mapping):
        raise InvalidInput(
            f"{argument} must be the result of EvalResultsOperator, not {shown(summary)}. Check the ID of "
            f"the upstream task, and that it ran."
        )
    return evaluators


def list_summaries(baseline: Any) -> list[Any]:
    """Return the summaries of a baseline, which is one summary, a list of summaries and None, or None."""
    listed = baseline if isinstance(baseline, list | tuple) else [baseline]
    return [summary for summary in listed if summary is not None]


def read_versions(value: Any) -> frozenset[Version]:
    """Return the versions in a list of JSON objects."""
    return frozenset(
        frozenset((str(key), str(text)) for key, text in version.items())
        for version in (value if isinstance(value, list) else ())
        if isinstance(version, Mapping)
    )


def _percentiles(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    listed = value if isinstance(value, list) else ()
    numbers = tuple(number for entry in listed if (number := finite(entry)) is not None)
    if len(numbers) != PERCENTILES or list(numbers) != sorted(numbers):
        raise ValueError(f"must be {PERCENTILES} numbers in ascending order")
    return numbers


Count = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float | None, BeforeValidator(finite)]


Effect = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class _Label(BaseModel):
    count: Count


class Clusters(BaseModel):
    """By how much sessions or traces increase the variance of label shares and of the mean score.

    ``size`` applies to labels without evaluations.
    """

    model_config = ConfigDict(frozen=True)

    count: Count
    size: Effect
    labels: dict[str, Effect]
    score: Effect | None = None


class HumanStratum(BaseModel):
    """The human labels of the evaluations with one label."""

    model_config = ConfigDict(frozen=True)

    labels: dict[str, Count]
    clusters: Clusters | None = None


class HumanLabels(BaseModel):
    """What people said about evaluations, by the label of the evaluator.

    ``sample_problem`` is why the spans that people labelled are no random sample; None if nothing is known
    against it.
    """

    model_config = ConfigDict(frozen=True)

    strata: dict[str, HumanStratum]
    sample_problem: str | None = None


class EvaluatorSummary(BaseModel):
    """What a summary says about one evaluator, or about one of its segments. The fields are its keys."""

    model_config = ConfigDict(frozen=True)

    evaluated: Count
    labels: dict[str, _Label]
    other_labels: Count
    scored: Count
    score_mean: Number = None
    score_variance: Number = None
    score_min: Number = None
    score_max: Number = None
    score_is_binary: bool = False
    invalid_scores: Count
    score_percentiles: Annotated[tuple[float, ...] | None, BeforeValidator(_percentiles)] = None
    evaluator_versions: Annotated[frozenset[Version], BeforeValidator(read_versions)] = frozenset()
    version_id: str | None = None
    segments: dict[str, EvaluatorSummary] | None = None
    not_evaluated: Count | None = None
    clusters: Clusters | None = None
    human_labels: HumanLabels | None = None

    @model_validator(mode="after")
    def _check_consistency(self) -> EvaluatorSummary:
        if self.labelled > self.evaluated or self.scored + self.invalid_scores > self.evaluated:
            raise ValueError("there are more labels or scores than evaluations")
        mean, variance = self.score_mean, self.score_variance
        if mean is not None and self.scored > 1 and (variance is None or variance < 0):
            raise ValueError("the scores have a mean but no variance")
        if mean is not None and self.score_is_binary and not 0 <= mean <= 1:
            raise ValueError("the mean of scores of 0 and 1 is out of range")
        return self

    @classmethod
    def read(cls, name: str, value: Any) -> EvaluatorSummary:
        """Read an evaluator's part of a summary; raise InvalidInput if its numbers contradict each other."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            [problem, *_] = error.errors(include_url=False, include_input=False)
            where = ".".join(map(str, problem["loc"]))
            raise InvalidInput(
                f"The results of {name!r} in the summary are invalid: {where} {problem['msg']}. Pass the "
                f"result of EvalResultsOperator unchanged."
            ) from None

    @classmethod
    def merge(cls, parts: Iterable[EvaluatorSummary]) -> EvaluatorSummary:
        """Return the summary of several windows together, without percentiles and segments."""
        windows, labels, scores, versions = list(parts), Counter[str](), Mean(), []
        for window in windows:
            scores.merge(window.scores)
            labels.update(window.label_counts)
            versions += [dict(version) for version in window.evaluator_versions]
        not_evaluated = [window.not_evaluated for window in windows]
        return cls.model_validate(
            {
                "evaluated": sum(window.evaluated for window in windows),
                "labels": {label: {"count": count} for label, count in labels.items()},
                "other_labels": sum(window.other_labels for window in windows),
                "scored": scores.count,
                "score_mean": scores.mean if scores.is_finite else None,
                "score_variance": scores.variance if scores.is_finite else None,
                "score_min": scores.low,
                "score_max": scores.high,
                "score_is_binary": scores.is_binary,
                "invalid_scores": sum(window.invalid_scores for window in windows),
                "not_evaluated": None if None in not_evaluated else sum(filter(None, not_evaluated)),
                "evaluator_versions": versions,
                "clusters": _merge_clusters(windows),
            }
        )

    def design_effect(self, label: str | None) -> float:
        """Return by how much clusters increase the variance of a label's share, or of the mean score."""
        if self.clusters is None:
            return 1.0
        if label is None:
            return self.clusters.score or self.clusters.size
        return self.clusters.labels.get(label, self.clusters.size)

    def segment(self, name: str) -> EvaluatorSummary:
        """Return a segment, with the effect of clusters on all evaluations."""
        segment = (self.segments or {})[name]
        if self.clusters is None or not self.evaluated:
            return segment
        count = math.ceil(self.clusters.count * segment.evaluated / self.evaluated)
        count = max(count, min(2, self.clusters.count))  # an estimate doesn't show that there is only one
        return segment.model_copy(update={"clusters": self.clusters.model_copy(update={"count": count})})

    @cached_property
    def label_counts(self) -> dict[str, int]:
        """How many evaluations have each label."""
        return {name: label.count for name, label in self.labels.items()}

    @property
    def labelled(self) -> int:
        """How many evaluations have a label."""
        return sum(self.label_counts.values()) + self.other_labels

    @cached_property
    def scores(self) -> Mean:
        """Count, mean and variance of the scores; empty if they are too large to be added up."""
        if self.score_mean is None:
            return Mean()
        return Mean(
            count=self.scored,
            mean=self.score_mean,
            squares=(self.score_variance or 0.0) * max(0, self.scored - 1),
            ends=self.scored if self.score_is_binary else 0,
            low=self.score_mean if self.score_min is None else self.score_min,
            high=self.score_mean if self.score_max is None else self.score_max,
        )

    @property
    def items(self) -> int:
        """How many items were read; those with an evaluation if the others are unknown."""
        return self.evaluated + (self.not_evaluated or 0)

    @property
    def coverage(self) -> float | None:
        """The share of the items read that have an evaluation; None if the number of items is unknown."""
        return None if self.not_evaluated is None or not self.items else self.evaluated / self.items

    def unknown_labels(self, known: Iterable[str] | None) -> int:
        """Return how many evaluations have a label that the evaluator doesn't have; None: labels unknown."""
        names = set(self.labels if known is None else known)
        return self.other_labels + sum(n for label, n in self.label_counts.items() if label not in names)


def _merge_clusters(windows: Sequence[EvaluatorSummary]) -> dict[str, Any] | None:
    """Return the effect of the clusters of several windows, weighted by their evaluations."""
    if all(window.clusters is None for window in windows):
        return None
    total = sum(window.evaluated for window in windows) or 1

    def mean(effect: Callable[[EvaluatorSummary], float]) -> float:
        return sum(window.evaluated * effect(window) for window in windows) / total

    labels = {label for window in windows for label in window.labels}
    return {
        "count": sum(each.clusters.count if each.clusters else each.evaluated for each in windows),
        "size": max(1.0, mean(lambda each: each.clusters.size if each.clusters else 1.0)),
        "labels": {label: max(1.0, mean(partial(_effect_of, label))) for label in labels},
        "score": max(1.0, mean(partial(_effect_of, None))),
    }


def _effect_of(label: str | None, window: EvaluatorSummary) -> float:
    return window.design_effect(label)


def version_of(metadata: Mapping[str, Any]) -> Version:
    """Return what an evaluation's metadata says about its evaluator: ID, version, template, model.

    Arize doesn't document the keys, so every text or number under a key made of such words is used.
    """
    return frozenset(
        (key, on_one_line(str(value)))
        for key, value in metadata.items()
        if isinstance(value, str | int) and _KEY.fullmatch(key)
    )


def versions_text(versions: Iterable[Version]) -> str | None:
    """Return the versions on one line; None if no evaluation names its version."""
    texts = sorted(", ".join(f"{key}: {value}" for key, value in sorted(version)) for version in versions)
    return on_one_line(" or ".join(filter(None, texts))) or None


def changed_in_metadata(before: frozenset[Version], now: frozenset[Version]) -> str | None:
    """Describe how the named versions differ; None if they are equal or one side names none."""
    before, now = before - {UNNAMED}, now - {UNNAMED}
    if before == now or not before or not now:
        return None
    return f"the evaluator version changed from {versions_text(before)} to {versions_text(now)}"


def changed_in_hub(summary: Mapping[str, Any], evaluator: str) -> str | None:
    """Describe the newest version that is used since a time in the baseline; None without one.

    A version whose column is unknown may be of any evaluator.
    """
    listed = (summary.get("baseline") or {}).get("new_evaluator_versions") or ()
    new = [version for version in listed if version["evaluator"] in (evaluator, None)]
    if not new:
        return None
    return on_one_line(
        f"the evaluator version changed: version {new[-1]['version_id']} of "
        f"{new[-1]['evaluator'] or 'the evaluator'} is used since {new[-1]['since']}"
    )


def changed_since(before: Iterable[EvaluatorSummary], now: EvaluatorSummary) -> str | None:
    """Describe which versions the runs of earlier summaries used; None if it is the same or unknown."""
    versions = {summary.version_id for summary in before} - {None, now.version_id}
    if now.version_id is None or not versions:
        return None
    return f"the evaluator version changed from {' or '.join(sorted(map(str, versions)))} to {now.version_id}"

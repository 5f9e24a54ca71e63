"""Count the human labels of evaluations by the label of the evaluator, while spans are read."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._text import on_one_line
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.api.responses import Evaluation
from airflow_provider_online_tasks.gate.calibration import calibration_of
from airflow_provider_online_tasks.gate.summary import EvaluatorSummary
from airflow_provider_online_tasks.results.counts import CONFIDENCE, OTHER_LABELS, Clusters, Counts

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.responses import Annotation, Span

MAX_DISAGREEMENTS = 20
MAX_LABELS = 20
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class HumanLabels:
    """The human labels of the evaluations of one evaluator."""

    def __init__(self) -> None:
        self._strata: defaultdict[str, tuple[Counts, Clusters]] = defaultdict(lambda: (Counts(), Clusters()))
        self._disagreements: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._without_label = 0
        self._conflicts = 0

    def add(
        self, span: Span, label: str | None, annotations: Sequence[Annotation], cluster: int | None
    ) -> None:
        """Count the annotations of one config on a span with this label. The newest of several counts.

        The label is None if the evaluator gave none, or if its labels are too many to be counted apart.
        """
        newest = max(annotations, key=lambda each: each.updated_at or _LONG_AGO)
        if len({annotation.label for annotation in annotations}) > 1:
            self._conflicts += 1
        if newest.label is None:
            self._without_label += 1
        elif label is not None:
            counts, clusters = self._strata[label]
            human = Evaluation(name=newest.name, label=newest.label)
            counts.add(human)
            if cluster is not None:
                clusters.add(cluster, human, counts)
            if newest.label != label:
                self._add_disagreement(span, label, newest.label)

    def _add_disagreement(self, span: Span, label: str, human_label: str) -> None:
        """Keep the newest spans of each pair of labels."""
        pair = label, human_label
        if pair not in self._disagreements and len(self._disagreements) >= MAX_DISAGREEMENTS**2:
            return
        if len(self._disagreements[pair]) < MAX_DISAGREEMENTS:
            self._disagreements[pair].append(
                {
                    "span_id": span.span_id,
                    "trace_id": span.trace_id,
                    "start_time": span.start_time,
                    "label": label,
                    "human_label": human_label,
                }
            )

    def summary(self, annotation: str, counts: Counts) -> dict[str, Any]:
        """Return the counts as JSON values, a stratum for each label of the evaluator."""
        strata = {}
        for label, evaluated in counts.labels.most_common():
            human, clusters = self._strata[label]
            labels = dict(human.labels.most_common())
            if human.other_labels:
                labels[OTHER_LABELS] = human.other_labels
            strata[label] = {
                "evaluated": evaluated,
                "labelled": human.labelled,
                "labels": labels,
                "clusters": clusters.summary(human),
            }
        # One of each pair of labels in turn.
        in_turn = itertools.chain.from_iterable(itertools.zip_longest(*self._disagreements.values()))
        return {
            "annotation": annotation,
            "labelled": sum(stratum["labelled"] for stratum in strata.values()),
            "without_label": self._without_label,
            "conflicts": self._conflicts,
            "strata": strata,
            "disagreements": list(itertools.islice(filter(None, in_turn), MAX_DISAGREEMENTS)),
        }


def agreement_with_people(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the human labels in the figures of an evaluator say about it: nothing without any."""
    if not figures["human_labels"]["labelled"]:
        return {"agreement": None, "labels": {}}
    calibration = calibration_of(EvaluatorSummary.read(name, figures), CONFIDENCE)
    return {
        "agreement": calibration.agreement._asdict(),
        "labels": {
            label: {
                "share": calibration.share(label)._asdict(),
                "sensitivity": calibration.sensitivity(label)._asdict(),
                "specificity": calibration.specificity(label)._asdict(),
                "kappa": calibration.kappa(label)._asdict(),
                "ac1": calibration.ac1(label),
            }
            for label in itertools.islice(figures["labels"], MAX_LABELS)
        },
    }


def add_samples(summary: dict[str, Any], samples: Sequence[Mapping[str, Any] | None]) -> None:
    """Add the sample of spans that people were asked to label, and why it is no random one, if known.

    :param samples: those of ``SendSpansOperator``; None for one that is unknown.
    """
    for name, figures in summary["evaluators"].items():
        if human_labels := figures.get("human_labels"):
            own = [sample for sample in samples if sample is None or sample["evaluator"] == name]
            problems = filter(None, (_problem_of(sample, summary) for sample in own))
            human_labels["sample"] = own[-1] if own else None
            human_labels["sample_problem"] = next(problems, None) or _unselected(
                human_labels["strata"], [sample["strata"] for sample in own if sample]
            )


def _problem_of(sample: Mapping[str, Any] | None, summary: Mapping[str, Any]) -> str | None:
    """Return why the sample is no random sample of the window; None if it is one."""
    if sample is None:
        return "the sample is unknown, because human_sample has no value"
    if sample["is_random"] is not True:
        return "the spans that people labelled were not chosen at random"
    ends = ("data_start_time", "data_end_time")
    try:
        start, end = (parse_time(sample.get(name)) for name in ends)
    except ValueError:
        return "the window of the sample is unknown"
    if start > parse_time(summary[ends[0]]) or end < parse_time(summary[ends[1]]):
        return f"people labelled spans from {wire_time(start)} to {wire_time(end)}, which is another window"
    return None


def _unselected(strata: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> str | None:
    """Return whether people labelled more spans than the samples have; None if not.

    :param strata: the human labels by the label of the evaluator.
    :param samples: the strata of the samples; rare labels may be counted together.
    """
    for label, stratum in strata.items() if samples else ():
        if any(label not in sample and OTHER_LABELS in sample for sample in samples):
            continue
        selected = sum(sample.get(label, {}).get("selected", 0) for sample in samples)
        if stratum["labelled"] > selected:
            found = f"people labelled {stratum['labelled']} spans with the evaluator's label {label!r}"
            return on_one_line(f"{found}, and {selected} were selected for them")
    return None

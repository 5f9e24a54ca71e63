"""People who annotate the records of a queue: they agree with an evaluator as often as a test says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from airflow_provider_online_tasks.emulator.annotation_queues import QUEUES
from airflow_provider_online_tasks.emulator.errors import RequestError
from airflow_provider_online_tasks.emulator.rest import Body
from airflow_provider_online_tasks.emulator.runs.plans import fraction

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator.state import EmulatorState

_Share = Annotated[float, Field(ge=0, le=1)]


class Labelling(Body):
    """What :meth:`EmulatorControl.label_records` is given."""

    annotation_queue_id: str
    evaluator: str
    annotation: str
    positive: str
    sensitivity: _Share
    specificity: _Share
    share: _Share

    @model_validator(mode="after")
    def _is_better_than_chance(self) -> Self:
        if self.sensitivity + self.specificity <= 1:
            raise ValueError("sensitivity and specificity must add up to more than 1")
        return self


def label_records(state: EmulatorState, given: Labelling) -> int:
    """Annotate the pending records of a queue, and return their number.

    The truth is what makes the evaluator as good as given: among all its labels, a share of
    ``(positive + specificity - 1) / (sensitivity + specificity - 1)`` is positive in truth.
    """
    queue = QUEUES.find(state, given.annotation_queue_id)
    config = next((each for each in queue["annotation_configs"] if each["name"] == given.annotation), None)
    evaluated = {each["span_id"]: each["label"] for each in state.storage.evaluations(name=given.evaluator)}
    labels = Counter(evaluated.values())
    others = [label for label, _ in labels.most_common() if label != given.positive]
    if config is None or not labels[given.positive] or not others:
        problem = "needs an annotation of the queue, and labels of the evaluator, positive and others"
        raise RequestError(400, f"label_records {problem}")
    share = labels[given.positive] / labels.total()
    truth = (share + given.specificity - 1) / (given.sensitivity + given.specificity - 1)
    truth = min(max(truth, 0.0), 1.0)
    # How much of what the evaluator calls positive, and of the rest, is positive in truth.
    positive = {
        True: min(given.sensitivity * truth / share, 1.0),
        False: min((1 - given.sensitivity) * truth / (1 - share), 1.0),
    }
    scores = {each["label"]: each["score"] for each in config.get("values", ())}
    items = [each for each in queue["items"] if each["span"] in evaluated]
    items.sort(key=lambda each: fraction(each["span"]))
    places = dict.fromkeys(positive, 0)
    count = 0
    for item in items[: round(len(items) * given.share)]:
        label = evaluated[item["span"]]
        stratum = label == given.positive
        place, places[stratum] = places[stratum], places[stratum] + 1
        # Evenly spread, so that the first records already agree as often as all of them.
        is_positive = int((place + 1) * positive[stratum]) > int(place * positive[stratum])
        if all(each["completion_status"] == "COMPLETED" for each in item["assigned_users"]):
            continue
        human = given.positive if is_positive else others[0] if stratum else label
        value = {"name": given.annotation, "label": human, "score": scores.get(human)}
        user = item["assigned_users"][-1]["user"]
        state.spans.annotate("span", item["span"], [value], state.clock.stamp(), user)
        for each in item["assigned_users"]:
            each["completion_status"] = "COMPLETED"
        count += 1
    QUEUES.save(state, queue)
    return count

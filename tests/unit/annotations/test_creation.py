"""AnnotationQueueOperator creates one queue and one config per name: real requests to the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks._airflow import AirflowFailException
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.exceptions import InvalidInput, PermissionDenied, Unavailable
from airflow_provider_online_tasks.operators.annotation_queues import AnnotationQueueOperator
from tests.support.emulator_api import Api
from tests.support.late_server import LateServer
from tests.support.task_instance import Killed, TaskInstance
from tests.support.tries import Time

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

CONFIG, QUEUE = "rest.create_annotation_config", "rest.create_annotation_queue"
CREATES = pytest.mark.parametrize("operation", [CONFIG, QUEUE])
NAMES = {CONFIG: "create annotation config", QUEUE: "create annotation queue"}


@pytest.fixture
def time(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> Time:
    """Clocks that only sleeping moves."""
    time = Time(arize)
    time.install(monkeypatch)
    return time


def operator(**arguments: Any) -> AnnotationQueueOperator:
    given = {
        "name": "weekly review",
        "annotation": "correctness_review",
        "labels": {"correct": 1, "incorrect": 0},
        "annotator_emails": ["ada@example.com", "bob@example.com"],
        **arguments,
    }
    return AnnotationQueueOperator(task_id="queue", **given)


def create(*, task: TaskInstance | None = None, **arguments: Any) -> str:
    arguments = {"space_id": "U3BhY2U6MTpxUndY", **arguments}
    return operator(**arguments).execute((task or TaskInstance()).next_try())


def created(arize: Emulator) -> tuple[list[Any], list[Any]]:
    """Return all configs and queues."""
    api = Api(arize)
    configs = api.rest("GET", "annotation-configs").json()["annotation_configs"]
    return configs, api.rest("GET", "annotation-queues").json()["annotation_queues"]


def test_queue_and_config_are_created(arize: Emulator) -> None:
    queue_id = create(instructions="Compare with the manual.", assignment_method="random")

    [config], [queue] = created(arize)
    assert queue["id"] == queue_id
    assert config["name"] == "correctness_review"
    assert config["type"] == "CATEGORICAL"
    assert config["values"] == [{"label": "correct", "score": 1}, {"label": "incorrect", "score": 0}]
    assert queue["name"] == "weekly review"
    assert queue["instructions"] == "Compare with the manual."
    assert [each["id"] for each in queue["annotation_configs"]] == [config["id"]]
    assert [each["email"] for each in queue["annotators"]] == ["ada@example.com", "bob@example.com"]


def test_labels_without_scores_are_created(arize: Emulator) -> None:
    create(labels=["polite", "rude"])
    [config], _ = created(arize)
    assert [value["label"] for value in config["values"]] == ["polite", "rude"]


def test_existing_queue_and_config_are_used(arize: Emulator) -> None:
    first = create()
    assert create() == first
    assert [len(each) for each in created(arize)] == [1, 1]
    assert len(arize.requests(QUEUE)) == 1


def test_queue_of_a_similar_name_is_not_used(arize: Emulator) -> None:
    first = create(name="weekly review 2", annotation="correctness_review_2")
    assert create() != first
    assert [len(each) for each in created(arize)] == [2, 2]


def test_two_queues_share_a_config(arize: Emulator) -> None:
    create()
    create(name="another review")
    configs, queues = created(arize)
    assert (len(configs), len(queues)) == (1, 2)


@pytest.mark.parametrize(
    "labels", [["correct", "wrong"], ["correct", "incorrect", "unclear"], ["Correct", "incorrect"]]
)
def test_existing_config_with_other_labels_is_rejected(arize: Emulator, labels: list[str]) -> None:
    create()
    with pytest.raises(InvalidInput):
        create(name="another review", labels=labels)
    assert [len(each) for each in created(arize)] == [1, 1]


def test_existing_queue_without_the_config_is_rejected(arize: Emulator) -> None:
    create()
    with pytest.raises(InvalidInput):
        create(annotation="tone_review")


@CREATES
@pytest.mark.promise("annotation-queue-once")
@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "status_after"])
def test_lost_response_creates_one(arize: Emulator, time: Time, operation: str, kind: str) -> None:
    arize.add_fault(Fault(operation, kind, status=502 if kind == "status_after" else None))
    queue_id = create()
    _, [queue] = created(arize)
    assert queue["id"] == queue_id
    assert [len(each) for each in created(arize)] == [1, 1]


@CREATES
@pytest.mark.promise("annotation-queue-once")
def test_next_try_of_killed_task_finds_what_was_created(
    arize: Emulator, time: Time, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    task = TaskInstance()
    late = LateServer(time, NAMES[operation], 30, raises=Killed).install(monkeypatch)
    with pytest.raises(Killed):
        create(task=task)

    create(task=task)

    assert [len(each) for each in created(arize)] == [1, 1]
    assert late.received == 1


@CREATES
def test_name_that_another_process_took_meanwhile_is_used(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    from airflow_provider_online_tasks.api.client import Client

    exchange, others = Client.exchange, []

    def compete(client: Client, call: Any, **options: Any) -> Any:
        if call.name == NAMES[operation] and not others:
            others.append(None)
            others[0] = create()
        return exchange(client, call, **options)

    monkeypatch.setattr(Client, "exchange", compete)

    assert create() == others[0]
    assert [len(each) for each in created(arize)] == [1, 1]


@CREATES
def test_rejected_request_is_not_repeated(arize: Emulator, operation: str) -> None:
    task = TaskInstance()
    arize.add_fault(Fault(operation, "forbidden"))
    with pytest.raises(PermissionDenied):
        create(task=task)
    assert len(arize.requests(operation)) == 1
    assert task.store is not None
    assert task.store.values == {}


def test_outage_raises_and_next_try_creates(arize: Emulator, time: Time) -> None:
    task = TaskInstance()
    arize.add_fault(Fault(QUEUE, "drop_before", times=None))
    with pytest.raises(Unavailable) as caught:
        create(task=task)
    assert not isinstance(caught.value, AirflowFailException)
    arize.clear_faults()
    create(task=task)
    assert [len(each) for each in created(arize)] == [1, 1]


def test_space_of_the_connections_project_is_the_default(arize: Emulator) -> None:
    create(space_id=None)
    _, [queue] = created(arize)
    assert queue["space_id"] == arize.space_id


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": ""},
        {"name": "x" * 256},
        {"annotation": " "},
        {"labels": []},
        {"labels": ["correct"]},
        {"labels": ["correct", "correct"]},
        {"labels": "correct"},
        {"labels": {"correct": "high", "incorrect": 0}},
        {"labels": {"correct": True, "incorrect": 0}},
        {"labels": {"{{ params.label }}": 1, "incorrect": 0}},
        {"annotator_emails": []},
        {"annotator_emails": "ada@example.com"},
        {"annotator_emails": ["Ada"]},
        {"instructions": "x" * 5001},
        {"assignment_method": "fair"},
        {"space_id": "my space"},
    ],
)
def test_wrong_literal_is_rejected_when_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        operator(**arguments)


@pytest.mark.parametrize(
    ("name", "rendered"), [("name", ""), ("labels", []), ("annotator_emails", []), ("annotation", None)]
)
def test_argument_rendered_to_nothing_is_rejected_before_any_request(
    arize: Emulator, name: str, rendered: Any
) -> None:
    queue = operator(space_id="U3BhY2U6MTpxUndY")
    setattr(queue, name, rendered)
    with pytest.raises(InvalidInput):
        queue.execute(TaskInstance().next_try())
    assert arize.requests() == []

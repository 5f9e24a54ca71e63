"""One object per execution: lost responses, later tries, replaced tries, and clocks that are set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_online_tasks.exceptions import BadRequest, PermissionDenied, RateLimited, Unavailable
from airflow_provider_online_tasks.idempotency.create_once import Outcome, Result
from airflow_provider_online_tasks.idempotency.intents import TryNoLongerCurrent
from tests.support.task_instance import Store, TaskInstance
from tests.support.widgets import LOST, Clocks, Server, Widget, WidgetCreation, WidgetIntent

DOWN = Unavailable("HTTP 503")
REJECTED = BadRequest("HTTP 400")


def run(server: Server, task: TaskInstance, **arguments: Any) -> Result[Widget] | Widget:
    """Run the next try."""
    return WidgetCreation(server, task.next_try(), **arguments).run()


def stored(task: TaskInstance, key: str = "widget") -> dict[str, Any] | None:
    assert task.store is not None
    value: dict[str, Any] | None = task.store.values.get(key)
    return value


# Within one try


def test_creation_succeeds_stores_id(server: Server, task: TaskInstance) -> None:
    result = run(server, task)
    assert result == Result(id="widget 1", outcome=Outcome.CREATED)
    assert (stored(task) or {})["id"] == "widget 1"
    assert server.searches == 0


def test_intent_is_stored_before_request_leaves(server: Server, task: TaskInstance) -> None:
    seen: list[Any] = []
    create = server.create
    server.create = lambda name: (seen.append(dict(stored(task) or {})), create(name))[1]  # type: ignore[method-assign]
    run(server, task)
    assert seen[0]["name"] == "w"
    assert seen[0]["sent_at"] is not None
    assert seen[0]["id"] is None


@pytest.mark.parametrize("delay", [0.0, 25.0, 59.5])
def test_lost_response_of_late_server_adopts_object(server: Server, task: TaskInstance, delay: float) -> None:
    server.requests, server.acts_after = [LOST], [delay]
    result = run(server, task)
    assert isinstance(result, Result)
    assert (result.id, result.outcome) == ("widget 1", Outcome.ADOPTED)
    assert server.received == 1
    assert (stored(task) or {})["id"] == "widget 1"


def test_search_pauses_double_up_to_limit_and_ends_at_deadline(
    server: Server, clocks: Clocks, task: TaskInstance
) -> None:
    server.requests = [LOST]
    run(server, task)
    assert clocks.pauses == [1, 2, 4, 8, 10, 10, 10, 10, 5]
    assert server.searches == 10  # the last one at the deadline


def test_request_that_was_not_executed_is_sent_again(server: Server, task: TaskInstance) -> None:
    server.requests = [LOST, None]
    result = run(server, task)
    assert isinstance(result, Result)
    assert (result.id, result.outcome) == ("widget 2", Outcome.CREATED)
    assert len(server.widgets) == 1


def test_outage_sends_three_requests_and_keeps_intent(server: Server, task: TaskInstance) -> None:
    server.requests = [LOST] * 3
    with pytest.raises(Unavailable) as caught:
        run(server, task)
    assert caught.value.may_have_executed
    assert server.received == 3
    assert (stored(task) or {})["id"] is None


def test_response_that_arrived_is_searched_for_once(
    server: Server, clocks: Clocks, task: TaskInstance
) -> None:
    server.requests = [BadRequest("data and errors", may_have_executed=True)]
    with pytest.raises(BadRequest):
        run(server, task)
    assert server.searches == 1
    assert clocks.pauses == []
    assert server.received == 1


def test_rejected_request_leaves_no_intent(server: Server, task: TaskInstance) -> None:
    server.requests = [REJECTED]
    with pytest.raises(BadRequest):
        run(server, task)
    assert stored(task) is None
    assert server.searches == 0


def test_rejected_request_after_lost_response_keeps_intent(server: Server, task: TaskInstance) -> None:
    # The first request may still be executed, so the next try has to search.
    server.requests, server.acts_after = [LOST, REJECTED], [70.0, None]
    with pytest.raises(BadRequest):
        run(server, task)
    assert stored(task) is not None

    found = run(server, task)
    assert found.id == "widget 1"
    assert server.received == 2


@pytest.mark.parametrize("error", [DOWN, RateLimited("HTTP 429")])
def test_search_error_that_passes_is_retried(server: Server, task: TaskInstance, error: Any) -> None:
    server.requests, server.acts_after = [LOST], [0.0]
    server.search_errors = [error, error]
    result = run(server, task)
    assert result.id == "widget 1"
    assert server.searches == 3


@pytest.mark.parametrize("error", [DOWN, RateLimited("HTTP 429")])
def test_search_that_fails_until_deadline_raises_and_sends_nothing(
    server: Server, task: TaskInstance, error: Any
) -> None:
    server.requests, server.acts_after = [LOST], [0.0]
    server.search_errors = [error] * 10
    with pytest.raises(Unavailable) as caught:
        run(server, task)
    assert caught.value.may_have_executed
    assert server.received == 1
    assert (stored(task) or {})["id"] is None


def test_search_that_is_rejected_raises_at_once_and_sends_nothing(
    server: Server, clocks: Clocks, task: TaskInstance
) -> None:
    server.requests = [LOST]
    server.search_errors = [PermissionDenied("HTTP 403")]
    with pytest.raises(Unavailable) as caught:
        run(server, task)
    assert caught.value.may_have_executed
    assert clocks.pauses == []
    assert server.received == 1


def test_search_that_works_again_before_deadline_counts_as_answer(server: Server, task: TaskInstance) -> None:
    server.requests = [LOST]
    server.search_errors = [DOWN] * 9  # the tenth and last search answers: nothing is there
    result = run(server, task)
    assert result.id == "widget 2"


# Later tries


def test_next_try_after_failed_search_adopts_object(server: Server, task: TaskInstance) -> None:
    server.requests, server.acts_after = [LOST], [0.0]
    server.search_errors = [DOWN] * 10
    with pytest.raises(Unavailable):
        run(server, task)

    found = run(server, task)

    assert found.id == "widget 1"
    assert server.received == 1
    assert (stored(task) or {})["id"] == "widget 1"


def test_third_try_after_two_failed_searches_adopts_object(
    server: Server, clocks: Clocks, task: TaskInstance
) -> None:
    server.requests, server.acts_after = [LOST], [0.0]
    server.search_errors = [DOWN] * 11  # ten in the first try; the deadline has passed in the second
    with pytest.raises(Unavailable):
        run(server, task)
    clocks.elapsed += 300
    with pytest.raises(Unavailable):
        run(server, task)
    assert (stored(task) or {})["id"] is None

    assert run(server, task).id == "widget 1"
    assert server.received == 1


def test_next_try_searches_for_remaining_time_only(
    server: Server, clocks: Clocks, task: TaskInstance
) -> None:
    creation = WidgetCreation(server, task.next_try())
    intent = creation._write_intent(WidgetIntent(name="w"))
    clocks.elapsed += 20
    assert WidgetCreation(server, task.next_try()).search(intent) is None
    assert sum(clocks.pauses) == 40


def test_next_try_counts_from_last_request(server: Server, clocks: Clocks, task: TaskInstance) -> None:
    server.requests = [LOST] * 3
    with pytest.raises(Unavailable):
        run(server, task)
    clocks.pauses.clear()
    server.requests, server.acts_after = [LOST, LOST, LOST], [None, None, 0.0]

    assert run(server, task).id == "widget 6"

    # The third request of the first try was sent 60 s ago: one search, then a request and 60 s, twice.
    assert sum(clocks.pauses) == 120


def test_next_try_sends_if_earlier_request_was_not_executed(
    server: Server, clocks: Clocks, task: TaskInstance
) -> None:
    server.requests = [LOST] * 3
    with pytest.raises(Unavailable):
        run(server, task)
    result = run(server, task)
    assert isinstance(result, Result)
    assert result.outcome is Outcome.CREATED
    assert len(server.widgets) == 1


# Clocks that are set


@pytest.mark.parametrize("seconds", [-3_600.0, -86_400.0])
@pytest.mark.parametrize(
    "which", [("worker_offset",), ("server_offset",), ("worker_offset", "server_offset")]
)
def test_clock_set_back_between_tries_searches_at_most_a_minute(
    server: Server, clocks: Clocks, task: TaskInstance, which: tuple[str, ...], seconds: float
) -> None:
    creation = WidgetCreation(server, task.next_try())
    creation._find_matching(WidgetIntent(name="other"))  # shows the server's clock
    intent = creation._write_intent(WidgetIntent(name="w"))
    for name in which:
        setattr(clocks, name, seconds)
    assert WidgetCreation(server, task.next_try()).search(intent) is None
    assert sum(clocks.pauses) == 60


@pytest.mark.parametrize("which", ["worker_offset", "server_offset"])
def test_one_clock_set_forward_between_tries_does_not_shorten_search(
    server: Server, clocks: Clocks, task: TaskInstance, which: str
) -> None:
    creation = WidgetCreation(server, task.next_try())
    creation._find_matching(WidgetIntent(name="other"))
    intent = creation._write_intent(WidgetIntent(name="w"))
    setattr(clocks, which, 7_200.0)
    clocks.elapsed += 10
    assert WidgetCreation(server, task.next_try()).search(intent) is None
    assert sum(clocks.pauses) == 50


def test_clock_set_back_during_search_does_not_lengthen_it(
    server: Server, clocks: Clocks, task: TaskInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.requests = [LOST, None]

    def find(name: str) -> list[Widget]:
        clocks.worker_offset -= 600
        clocks.server_offset -= 600
        return []

    monkeypatch.setattr(server, "find", find)
    run(server, task)
    assert sum(clocks.pauses) == 60


# A try that another one has replaced


class RejectingStore(Store):
    """A state store that rejects writes with a status, after some that it accepts.

    :param status: the HTTP status of Airflow's API.
    :param accepts: how many writes succeed first.
    """

    def __init__(self, status: int, accepts: int = 0) -> None:
        super().__init__()
        self.status = status
        self.accepts = accepts

    def set(self, key: str, value: Any) -> None:
        if self.accepts == 0:
            error = RuntimeError("API_SERVER_ERROR")
            error.error = SimpleNamespace(detail={"status_code": self.status})  # type: ignore[attr-defined]
            raise error
        self.accepts -= 1
        super().set(key, value)


@pytest.mark.parametrize("status", [404, 409, 410])
def test_replaced_try_sends_nothing(server: Server, task: TaskInstance, status: int) -> None:
    task.store = RejectingStore(status)
    with pytest.raises(TryNoLongerCurrent):
        run(server, task)
    assert server.received == 0


@pytest.mark.promise("suspended-process")
def test_suspended_process_of_replaced_try_sends_nothing(server: Server, task: TaskInstance) -> None:
    task.store = RejectingStore(404, accepts=1)
    server.suspend_before_send = 300
    with pytest.raises(TryNoLongerCurrent):
        run(server, task)
    assert server.received == 0


@pytest.mark.parametrize("seconds", [300.0, -300.0])
def test_suspended_process_of_current_try_writes_intent_again(
    server: Server, clocks: Clocks, task: TaskInstance, seconds: float
) -> None:
    server.suspend_before_send = seconds
    server.requests = [LOST] * 3
    with pytest.raises(Unavailable):
        run(server, task)
    writes: list[Any] = []
    task.store = SimpleNamespace(  # type: ignore[assignment]
        get=lambda key: None, set=lambda key, value: writes.append(value)
    )
    server.suspend_before_send = seconds
    run(server, task)
    assert [write["id"] for write in writes] == [None, None, "widget 4"]
    assert writes[0]["sent_at_worker"] != writes[1]["sent_at_worker"]


def test_request_that_leaves_at_once_writes_intent_once(server: Server, task: TaskInstance) -> None:
    task.store = RejectingStore(404, accepts=2)  # the intent and the ID
    assert run(server, task).id == "widget 1"


@pytest.mark.promise("suspended-process")
def test_object_created_by_replaced_try_is_discarded(server: Server, task: TaskInstance) -> None:
    task.store = RejectingStore(404, accepts=1)
    creation = WidgetCreation(server, task.next_try())
    with pytest.raises(TryNoLongerCurrent):
        creation.run()
    assert creation.discarded == ["widget 1"]


def test_object_adopted_by_replaced_try_is_left_alone(server: Server, task: TaskInstance) -> None:
    # The current try may have adopted it, too.
    server.requests, server.acts_after = [LOST], [0.0]
    task.store = RejectingStore(404, accepts=1)
    creation = WidgetCreation(server, task.next_try())
    with pytest.raises(TryNoLongerCurrent):
        creation.run()
    assert creation.discarded == []


def test_state_store_outage_after_creation_leaves_object_for_next_try(
    server: Server, task: TaskInstance
) -> None:
    store = RejectingStore(500, accepts=1)
    task.store = store
    creation = WidgetCreation(server, task.next_try())
    with pytest.raises(RuntimeError):
        creation.run()
    assert creation.discarded == []

    store.accepts = 99
    assert run(server, task).id == "widget 1"
    assert server.received == 1


def test_state_store_outage_before_request_sends_nothing(server: Server, task: TaskInstance) -> None:
    task.store = RejectingStore(500)
    with pytest.raises(RuntimeError):
        run(server, task)
    assert server.received == 0


# Two of a thing, and no state store


def test_two_intents_of_one_task_do_not_mix(server: Server, task: TaskInstance) -> None:
    context = task.next_try()
    WidgetCreation(server, context, name="a", key="a").run()
    WidgetCreation(server, context, name="b", key="b").run()
    assert [widget.name for widget in server.widgets] == ["a", "b"]
    assert (stored(task, "a") or {})["id"] == "widget 1"
    assert (stored(task, "b") or {})["id"] == "widget 2"


def test_two_task_instances_create_one_object_each(server: Server, clocks: Clocks) -> None:
    tasks = [TaskInstance(), TaskInstance()]
    server.requests, server.acts_after = [LOST, None], [0.0, 0.0]
    for number, task in enumerate(tasks):
        run(server, task, name=f"widget of {number}")
    assert [widget.name for widget in server.widgets] == ["widget of 0", "widget of 1"]
    assert [(stored(task) or {})["id"] for task in tasks] == ["widget 1", "widget 2"]


def test_without_state_store_lost_response_is_recovered_within_try(server: Server) -> None:
    server.requests, server.acts_after = [LOST], [5.0]
    assert run(server, TaskInstance(is_kept=False)).id == "widget 1"
    assert server.received == 1

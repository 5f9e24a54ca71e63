"""One eval task per execution, however its creation fails and whenever its process ends."""

from __future__ import annotations

import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.eval_tasks.creation import STATE_KEY, TaskCreation
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    BadRequest,
    CallError,
    PermissionDenied,
    TaskExists,
    Unavailable,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.idempotency.create_once import Outcome, Result
from airflow_provider_online_tasks.idempotency.intents import IntentStore
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.operators.eval_tasks import PatchEvalTaskOperator
from tests.support.late_server import LateServer
from tests.support.task_instance import EVALUATOR, TASK, Killed, TaskInstance
from tests.support.tries import Time

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.responses import Task
    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

    Create = Callable[..., CreateEvalTaskOperator]
    Requests = Callable[[str], int]

CREATE, LIST = "graphql.createEvalTask", "rest.list_tasks"
# Faults that lose the response to a creation that was executed.
EXECUTED = ["drop_after", "status_after", "truncated", "garbage", "not_object", "missing_field", "null_field"]
log = logging.getLogger(__name__)


@pytest.fixture
def time(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> Time:
    """Clocks that only sleeping moves."""
    time = Time(arize)
    time.install(monkeypatch)
    return time


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``kill("before")``: the next creation ends its process before the request is sent, or ``"after"``."""

    def kill(when: str) -> None:
        exchange = Client.exchange

        def killed(client: Client, call: Any, **options: Any) -> Any:
            if call.name != "createEvalTask":
                return exchange(client, call, **options)
            monkeypatch.setattr(Client, "exchange", exchange)
            if when == "after":
                exchange(client, call, **options)
            raise Killed

        monkeypatch.setattr(Client, "exchange", killed)

    return kill


def run(
    arize: Emulator, instance: TaskInstance, *, if_exists: str = "fail", **arguments: Any
) -> Result[Task]:
    """Run the next try."""
    with OnlineTasksHook() as hook:
        return TaskCreation(
            hook=hook,
            task=EvalTaskInput.read({"model_id": arize.project_id, **TASK, **arguments}),
            if_exists=if_exists,
            context=instance.next_try(),
            log=log,
        ).run()


def ids(arize: Emulator) -> list[str]:
    return [task["id"] for task in arize.tasks()]


def stored(instance: TaskInstance) -> dict[str, Any] | None:
    assert instance.store is not None
    intent: dict[str, Any] | None = instance.store.values.get(STATE_KEY)
    return intent


# Lost responses


@pytest.mark.parametrize("kind", EXECUTED)
def test_lost_response_adopts_task(arize: Emulator, requests: Requests, kind: str) -> None:
    arize.add_fault(Fault(CREATE, kind))
    result = run(arize, TaskInstance())
    assert result.outcome is Outcome.ADOPTED
    assert ids(arize) == [result.id]
    assert requests(CREATE) == 1


def test_response_with_data_and_errors_adopts_task(arize: Emulator, requests: Requests) -> None:
    arize.add_fault(Fault(CREATE, "partial"))
    result = run(arize, TaskInstance())
    assert ids(arize) == [result.id]
    assert requests(CREATE) == 1


@pytest.mark.parametrize("seconds", [10, 55])
def test_server_slower_than_timeout_creates_one_task(
    arize: Emulator, time: Time, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    late = LateServer(time, "createEvalTask", seconds).install(monkeypatch)
    result = run(arize, TaskInstance())
    assert result.outcome is Outcome.ADOPTED
    assert ids(arize) == [result.id]
    assert late.received == 1


def test_request_that_did_not_arrive_is_sent_again(arize: Emulator, time: Time, requests: Requests) -> None:
    arize.add_fault(Fault(CREATE, "drop_before"))
    result = run(arize, TaskInstance())
    assert result.outcome is Outcome.CREATED
    assert ids(arize) == [result.id]
    assert requests(CREATE) == 2


def test_failed_search_sends_nothing_and_next_try_adopts_task(
    arize: Emulator, time: Time, requests: Requests
) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "drop_after"))
    # The search before the creation succeeds; those after it do not.
    arize.add_fault(Fault(LIST, "rate_limited", skip=1, times=None, retry_after=1000))
    with pytest.raises(Unavailable) as lost:
        run(arize, instance)
    assert lost.value.may_have_executed
    arize.clear_faults()

    result = run(arize, instance)

    assert result.outcome is Outcome.ADOPTED
    assert ids(arize) == [result.id]
    assert requests(CREATE) == 1


def test_third_try_after_two_failed_searches_adopts_task(
    arize: Emulator, time: Time, requests: Requests
) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "drop_after"))
    arize.add_fault(Fault(LIST, "status_before", status=503, skip=1, times=None))
    for _ in range(2):
        with pytest.raises(Unavailable):
            run(arize, instance)
    arize.clear_faults()
    assert [run(arize, instance).id] == ids(arize)
    assert requests(CREATE) == 1


def test_outage_raises_after_three_requests_and_next_try_creates_task(
    arize: Emulator, time: Time, requests: Requests
) -> None:
    arize.add_fault(Fault(CREATE, "drop_before", times=None))
    instance = TaskInstance()
    with pytest.raises(Unavailable) as caught:
        run(arize, instance)
    assert caught.value.may_have_executed
    assert requests(CREATE) == 3
    arize.clear_faults()

    assert run(arize, instance).outcome is Outcome.CREATED
    assert len(ids(arize)) == 1


def test_older_task_that_appears_late_is_not_adopted(arize: Emulator, time: Time, requests: Requests) -> None:
    run(arize, TaskInstance())
    time.advance(3600)
    nothing = '{"tasks": [], "pagination": {"has_more": false, "next_cursor": null}}'
    arize.add_fault(Fault(LIST, "garbage", body=nothing))
    arize.add_fault(Fault(CREATE, "drop_before"))
    with pytest.raises(BadRequest):
        run(arize, TaskInstance(), if_exists="fail")
    assert len(ids(arize)) == 1


def test_older_task_that_appears_late_is_used_if_it_may_exist(
    arize: Emulator, time: Time, requests: Requests
) -> None:
    older = run(arize, TaskInstance())
    time.advance(3600)
    nothing = '{"tasks": [], "pagination": {"has_more": false, "next_cursor": null}}'
    arize.add_fault(Fault(LIST, "garbage", body=nothing))
    arize.add_fault(Fault(CREATE, "drop_before"))
    assert run(arize, TaskInstance(), if_exists="skip").id == older.id
    assert requests(CREATE) == 2  # the first task's, and the one without a response


@pytest.mark.parametrize("seconds", [-50, 50])
def test_lost_response_clocks_of_servers_differ_adopts_task(
    arize: Emulator, time: Time, requests: Requests, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """One server of Arize answers the search, and another one with another clock creates the task."""
    exchange = Client.exchange

    def lossy(client: Client, call: Any, **options: Any) -> Any:
        is_creation = call.name == "createEvalTask"
        time.server_offset = seconds if is_creation else 0
        time.show()
        response = exchange(client, call, **options)
        if is_creation:
            raise Unavailable("no response", may_have_executed=True)
        return response

    monkeypatch.setattr(Client, "exchange", lossy)
    result = run(arize, TaskInstance())
    assert result.outcome is Outcome.ADOPTED
    assert ids(arize) == [result.id]
    assert requests(CREATE) == 1


# Rejected requests


@pytest.mark.parametrize("if_exists", ["skip", "update"])
def test_response_with_data_and_errors_task_not_found_raises(
    arize: Emulator, requests: Requests, if_exists: str
) -> None:
    """Arize may have created the task, so a task that appears later counts as its own."""
    instance = TaskInstance()
    nothing = '{"tasks": [], "pagination": {"has_more": false, "next_cursor": null}}'
    arize.add_fault(Fault(LIST, "garbage", body=nothing, times=2))
    arize.add_fault(Fault(CREATE, "partial"))
    with pytest.raises(BadRequest) as caught:
        run(arize, instance, if_exists=if_exists)
    assert caught.value.may_have_executed
    assert (requests(CREATE), requests(LIST)) == (1, 2)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("unauthorized", AuthenticationFailed), ("forbidden", PermissionDenied), ("graphql_error", BadRequest)],
)
def test_rejected_request_leaves_no_intent_and_is_not_searched_for(
    arize: Emulator, requests: Requests, kind: str, error: type[CallError]
) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, kind, code="BAD_USER_INPUT"))
    with pytest.raises(error):
        run(arize, instance)
    assert ids(arize) == []
    assert stored(instance) is None
    assert (requests(CREATE), requests(LIST)) == (1, 1)


@pytest.mark.parametrize("if_exists", ["skip", "update"])
def test_rejected_request_without_existing_task_raises(arize: Emulator, if_exists: str) -> None:
    arize.add_fault(Fault(CREATE, "graphql_error", code="BAD_USER_INPUT"))
    with pytest.raises(BadRequest):
        run(arize, TaskInstance(), if_exists=if_exists)
    assert ids(arize) == []


def test_wrong_query_filter_is_rejected(arize: Emulator, requests: Requests) -> None:
    instance = TaskInstance()
    with pytest.raises(BadRequest):
        run(arize, instance, query_filter="this is = = no filter")
    assert requests(CREATE) == 1
    assert stored(instance) is None


# Later tries


@pytest.mark.parametrize("is_kept", [True, False], ids=["3.3", "3.0"])
@pytest.mark.parametrize("if_exists", ["fail", "skip", "update"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_process_killed_during_creation_leaves_one_task(
    arize: Emulator,
    time: Time,
    requests: Requests,
    kill: Callable[[str], None],
    when: str,
    if_exists: str,
    is_kept: bool,
) -> None:
    instance = TaskInstance(is_kept=is_kept)
    kill(when)
    with pytest.raises(Killed):
        run(arize, instance, if_exists=if_exists)

    result = run(arize, instance, if_exists=if_exists)

    assert ids(arize) == [result.id]
    assert requests(CREATE) == 1
    assert result.outcome is (Outcome.ADOPTED if when == "after" else Outcome.CREATED)


@pytest.fixture
def kill_at_end(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``kill_at_end(arize, instance, …)``: run a try whose process ends after it stored the ID."""

    def run_and_kill(arize: Emulator, instance: TaskInstance, **arguments: Any) -> None:
        def die(_: object) -> None:
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(IntentStore, "finish", die)
            run(arize, instance, **arguments)

    return run_and_kill


def test_process_killed_after_id_was_stored_uses_same_task(
    arize: Emulator, requests: Requests, kill_at_end: Callable[..., None]
) -> None:
    instance = TaskInstance()
    kill_at_end(arize, instance)
    assert (stored(instance) or {})["id"] == ids(arize)[0]

    result = run(arize, instance)

    assert [result.id] == ids(arize)
    assert result.outcome is Outcome.ADOPTED
    assert requests(CREATE) == 1


def test_task_cleared_after_retry_of_unreported_success_failed_uses_same_task(
    arize: Emulator, kill_at_end: Callable[..., None]
) -> None:
    instance = TaskInstance()
    first = run(arize, instance)
    kill_at_end(arize, instance)
    instance.clear()
    assert run(arize, instance).id == first.id


def test_retry_after_unreported_success_uses_same_task(arize: Emulator, requests: Requests) -> None:
    instance = TaskInstance()
    first = run(arize, instance)
    for _ in range(2):
        assert run(arize, instance).id == first.id
    assert requests(CREATE) == 1


def test_task_cleared_after_success_starts_again(arize: Emulator) -> None:
    instance = TaskInstance()
    first = run(arize, instance)
    instance.clear()
    with pytest.raises(TaskExists) as caught:
        run(arize, instance)
    assert caught.value.online_task_id == first.id
    result = run(arize, instance, if_exists="skip")
    assert (result.id, result.outcome) == (first.id, Outcome.EXISTED)


def test_task_cleared_after_retry_succeeded_starts_again(
    arize: Emulator, time: Time, kill: Callable[[str], None]
) -> None:
    instance = TaskInstance()
    kill("after")
    with pytest.raises(Killed):
        run(arize, instance)
    assert run(arize, instance).outcome is Outcome.ADOPTED
    instance.clear()
    with pytest.raises(TaskExists):
        run(arize, instance)


def test_task_cleared_after_failure_uses_same_task(
    arize: Emulator, time: Time, kill: Callable[[str], None]
) -> None:
    instance = TaskInstance()
    kill("after")
    with pytest.raises(Killed):
        run(arize, instance)
    instance.clear()
    assert run(arize, instance).outcome is Outcome.ADOPTED


def test_task_deleted_between_tries_is_created_again(arize: Emulator, requests: Requests) -> None:
    instance = TaskInstance()
    first = run(arize, instance)
    with OnlineTasksHook() as hook:
        hook.delete_task(first.id)

    second = run(arize, instance)

    assert second.outcome is Outcome.CREATED
    assert second.id != first.id
    assert requests(CREATE) == 2
    assert run(arize, instance).id == second.id


@pytest.mark.parametrize("change", ["name", "project"])
def test_task_whose_identity_changed_between_tries_is_created_too(
    arize: Emulator, kill_at_end: Callable[..., None], change: str
) -> None:
    with OnlineTasksHook() as hook:
        other = {"name": {"name": "another"}, "project": {"model_id": hook.find_project("search-assistant")}}
    instance = TaskInstance()
    kill_at_end(arize, instance)

    second = run(arize, instance, **other[change])

    assert second.outcome is Outcome.CREATED
    assert len(ids(arize)) == 2
    # The retry of the changed DAG uses its own task, and not the first one.
    assert run(arize, instance, **other[change]).id == second.id


def test_name_that_changed_and_changed_back_uses_first_task(
    arize: Emulator, kill_at_end: Callable[..., None]
) -> None:
    run(arize, TaskInstance(), name="another")
    instance = TaskInstance()
    kill_at_end(arize, instance)
    run(arize, instance, name="another", if_exists="skip")
    instance.clear()
    result = run(arize, instance)
    assert (result.outcome, len(ids(arize))) == (Outcome.ADOPTED, 2)


# Two tasks, two executions


def test_two_tasks_with_one_name_in_two_projects_are_both_created(arize: Emulator) -> None:
    with OnlineTasksHook() as hook:
        projects = [arize.project_id, hook.find_project("search-assistant")]
    results = [run(arize, TaskInstance(), model_id=project, if_exists="skip") for project in projects]
    assert [result.outcome for result in results] == [Outcome.CREATED] * 2
    assert [task["model_id"] for task in arize.tasks()] == projects
    again = [run(arize, TaskInstance(), model_id=project, if_exists="skip") for project in projects]
    assert [result.id for result in again] == [result.id for result in results]


def test_lost_response_does_not_adopt_task_of_same_name_in_another_project(arize: Emulator) -> None:
    with OnlineTasksHook() as hook:
        other = hook.find_project("search-assistant")
    theirs = run(arize, TaskInstance(), model_id=other).id
    arize.add_fault(Fault(CREATE, "drop_after"))
    ours = run(arize, TaskInstance())
    assert ours.id != theirs
    assert sorted(ids(arize)) == sorted([ours.id, theirs])


@pytest.mark.parametrize("if_exists", ["fail", "skip"])
def test_server_that_ignores_project_filter_does_not_confuse_tasks(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, if_exists: str
) -> None:
    foreign = {"id": "T25saW5lVGFzazo5OTpxUndY", "name": TASK["name"], "project_id": "TW9kZWw6OTk5OnFSd1g="}
    exchange = Client.exchange

    def unfiltered(client: Client, call: Any, **options: Any) -> Any:
        if call.name != "list tasks":
            return exchange(client, call, **options)
        assert call.query["project_id"] == arize.project_id
        page = call.read({"tasks": [foreign], "pagination": {"has_more": False}})
        return page, SimpleNamespace(date=None)

    monkeypatch.setattr(Client, "exchange", unfiltered)
    result = run(arize, TaskInstance(), if_exists=if_exists)
    assert (result.outcome, [result.id]) == (Outcome.CREATED, ids(arize))


def test_two_mapped_task_instances_create_one_task_each(
    arize: Emulator, time: Time, kill: Callable[[str], None]
) -> None:
    first, second = TaskInstance(), TaskInstance()
    kill("after")
    with pytest.raises(Killed):
        run(arize, first, name="first")
    run(arize, second, name="second")
    run(arize, first, name="first")
    assert [task["name"] for task in arize.tasks()] == ["first", "second"]
    assert [(stored(instance) or {})["id"] for instance in (first, second)] == ids(arize)


@pytest.fixture
def overtaken(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another DAG run creates the task between the search and the request of this one."""
    exchange = Client.exchange

    def overtake(client: Client, call: Any, **options: Any) -> Any:
        if call.name == "createEvalTask":
            monkeypatch.setattr(Client, "exchange", exchange)
            run(arize, TaskInstance())
        return exchange(client, call, **options)

    monkeypatch.setattr(Client, "exchange", overtake)


@pytest.mark.usefixtures("overtaken")
@pytest.mark.parametrize("if_exists", ["skip", "update"])
def test_two_dag_runs_at_the_same_time_use_one_task(arize: Emulator, if_exists: str) -> None:
    result = run(arize, TaskInstance(), if_exists=if_exists, sampling_rate=0.5)
    assert ids(arize) == [result.id]
    assert arize.tasks()[0]["sampling_rate"] == (0.5 if if_exists == "update" else 1)


@pytest.mark.usefixtures("overtaken")
@pytest.mark.parametrize("if_exists", ["skip", "fail"])
def test_creation_rejected_without_reason_uses_task_of_other_dag_run(arize: Emulator, if_exists: str) -> None:
    arize.add_fault(Fault(CREATE, "graphql_error", skip=1, message="no", code="BAD_USER_INPUT"))
    if if_exists == "fail":
        with pytest.raises(BadRequest):
            run(arize, TaskInstance(), if_exists="fail")
    else:
        assert run(arize, TaskInstance(), if_exists="skip").outcome is Outcome.EXISTED
    assert len(ids(arize)) == 1


def test_existing_task_of_another_execution_leaves_no_intent(arize: Emulator) -> None:
    run(arize, TaskInstance())
    instance = TaskInstance()
    run(arize, instance, if_exists="skip")
    assert stored(instance) is None


# Airflow 3.0 to 3.2 keeps nothing between tries


def test_without_state_store_wrong_server_clock_does_not_hide_task(
    arize: Emulator, kill: Callable[[str], None]
) -> None:
    for offset in (-7200, 7200):
        arize.set_clock_offset(offset)
        instance = TaskInstance(is_kept=False)
        kill("after")
        with pytest.raises(Killed):
            run(arize, instance, name=f"{offset}")
        assert run(arize, instance, name=f"{offset}").outcome is Outcome.ADOPTED


def test_without_state_store_first_try_does_not_adopt_task(arize: Emulator) -> None:
    run(arize, TaskInstance(is_kept=False))
    with pytest.raises(TaskExists):
        run(arize, TaskInstance(is_kept=False))


def test_without_state_store_retry_does_not_adopt_older_task(arize: Emulator) -> None:
    run(arize, TaskInstance(is_kept=False))
    instance = TaskInstance(is_kept=False)
    instance.dag_run_start += timedelta(hours=1)
    for _ in range(2):
        with pytest.raises(TaskExists):
            run(arize, instance)


def test_without_state_store_and_dag_run_start_retry_adopts_nothing(arize: Emulator) -> None:
    run(arize, TaskInstance(is_kept=False))
    instance = TaskInstance(is_kept=False)
    instance.dag_run_start = None  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(TaskExists):
            run(arize, instance)


def test_with_state_store_retry_without_intent_does_not_adopt_task(arize: Emulator) -> None:
    # An earlier try failed before it sent a request, and another execution created the task meanwhile.
    instance = TaskInstance()
    instance.next_try()
    run(arize, TaskInstance())
    with pytest.raises(TaskExists):
        run(arize, instance)


@pytest.mark.parametrize(("template", "warned"), [("Is it correct?", True), ("Is {output} correct?", False)])
def test_template_without_variable_created_and_updated_with_warning(
    create: Create,
    arize: Emulator,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    template: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(PatchEvalTaskOperator, "log", log)
    evaluators = [{**EVALUATOR, "template": template}]
    task_id = create(template_evaluators=evaluators).execute(TaskInstance().next_try())
    patch = PatchEvalTaskOperator(task_id="a", online_task_id=task_id, template_evaluators=evaluators)
    patch.execute(TaskInstance().next_try())

    assert [task["id"] for task in arize.tasks()] == [task_id]
    named = [record for record in caplog.records if EVALUATOR["name"] in record.args]
    assert [record.levelno for record in named] == ([logging.WARNING] * 2 if warned else [])

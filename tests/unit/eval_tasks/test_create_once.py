"""However a creation fails, and whenever its process ends, there is one task in the end."""

from __future__ import annotations

import logging
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.eval_tasks.creation import TaskCreation
from airflow_provider_online_tasks.exceptions import AuthenticationFailed, BadRequest, TaskExists, Unavailable
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.idempotency.create_once import Outcome, Result
from airflow_provider_online_tasks.inputs import EvalTaskInput
from tests.support.task_instance import TASK, Killed, TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.api.calls import Page, Task
    from airflow_provider_online_tasks.emulator import Emulator
    from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator

    Create = Callable[..., CreateEvalTaskOperator]
    Asked = Callable[[str], int]

CREATE = "graphql.createEvalTask"
# Faults of the answer to a creation that was carried out.
EXECUTED = ["drop_after", "status_after", "truncated", "garbage", "not_object", "missing_field", "null_field"]
log = logging.getLogger(__name__)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``killed("before")``: the next creation ends the process before it is sent, or when it is done."""

    def kill(when: str) -> None:
        send = OnlineTasksHook.create_eval_task

        def create_eval_task(hook: OnlineTasksHook, task: EvalTaskInput) -> str:
            monkeypatch.setattr(OnlineTasksHook, "create_eval_task", send)
            if when == "after":
                send(hook, task)
            raise Killed

        monkeypatch.setattr(OnlineTasksHook, "create_eval_task", create_eval_task)

    return kill


def obtain(
    arize: Emulator, instance: TaskInstance, *, if_exists: str = "fail", **arguments: Any
) -> Result[Task]:
    """A try that looks for a lost task for a fraction of a second only."""
    with OnlineTasksHook() as hook:
        creation = TaskCreation(
            hook=hook,
            task=EvalTaskInput.read({"model_id": arize.project_id, **TASK, **arguments}),
            if_exists=if_exists,
            context=instance.next_try(),
            log=log,
            search_seconds=0.2,
        )
        return creation.obtain()


@pytest.mark.parametrize("kind", EXECUTED)
def test_a_task_whose_answer_was_lost_is_found(
    arize: Emulator, create: Create, asked: Asked, kind: str
) -> None:
    arize.add_fault(Fault(CREATE, kind))

    task_id = create().execute(TaskInstance().next_try())

    assert [task["id"] for task in arize.tasks()] == [task_id]
    assert asked(CREATE) == 1


def test_data_beside_errors_may_mean_that_the_task_was_created(
    arize: Emulator, create: Create, asked: Asked
) -> None:
    arize.add_fault(Fault(CREATE, "partial"))

    task_id = create().execute(TaskInstance().next_try())

    assert [task["id"] for task in arize.tasks()] == [task_id]
    assert asked(CREATE) == 1


def test_a_request_that_never_arrived_is_repeated_after_a_look(arize: Emulator, asked: Asked) -> None:
    arize.add_fault(Fault(CREATE, "drop_before"))

    obtained = obtain(arize, TaskInstance())

    assert obtained.outcome is Outcome.CREATED
    assert [task["id"] for task in arize.tasks()] == [obtained.id]
    assert asked(CREATE) == 2
    assert asked("rest.list_tasks") >= 2


def test_while_it_cannot_be_looked_for_nothing_is_repeated_and_the_next_try_finds_it(
    arize: Emulator, asked: Asked
) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "drop_after"))
    # The look before the creation passes; those after it do not.
    arize.add_fault(Fault("rest.list_tasks", "rate_limited", skip=1, times=None, retry_after=1000))

    with pytest.raises(Unavailable) as lost:
        obtain(arize, instance)
    assert lost.value.may_have_executed
    arize.clear_faults()
    obtained = obtain(arize, instance)

    assert obtained.outcome is Outcome.ADOPTED
    assert [task["id"] for task in arize.tasks()] == [obtained.id]
    assert asked(CREATE) == 1


@pytest.mark.parametrize("kind", ["unauthorized", "rate_limited", "graphql_error"])
def test_a_refused_creation_leaves_nothing_behind(arize: Emulator, create: Create, kind: str) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, kind, code="BAD_USER_INPUT", retry_after=1000))

    with pytest.raises(Exception, match="createEvalTask"):
        create().execute(instance.next_try())

    assert arize.tasks() == []
    assert instance.store is not None
    assert instance.store.values == {}


def test_a_refused_key_is_told_as_such(arize: Emulator, create: Create) -> None:
    arize.add_fault(Fault(CREATE, "unauthorized"))
    with pytest.raises(AuthenticationFailed):
        create().execute(TaskInstance().next_try())


@pytest.mark.parametrize("if_exists", ["fail", "skip", "update"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_ends_amid_the_creation(
    arize: Emulator, asked: Asked, killed: Callable[..., None], when: str, if_exists: str
) -> None:
    instance = TaskInstance()
    killed(when)
    with pytest.raises(Killed):
        obtain(arize, instance, if_exists=if_exists)

    obtained = obtain(arize, instance, if_exists=if_exists)

    assert [task["id"] for task in arize.tasks()] == [obtained.id]
    assert asked(CREATE) == 1
    assert obtained.outcome is (Outcome.ADOPTED if when == "after" else Outcome.CREATED)


def test_a_process_that_ends_after_the_id_was_stored(arize: Emulator, asked: Asked) -> None:
    instance = TaskInstance()
    first = obtain(arize, instance)  # and never finishes

    second = obtain(arize, instance)
    assert (second.id, second.outcome) == (first.id, Outcome.ADOPTED)
    assert asked(CREATE) == 1


def test_a_retry_whose_predecessor_s_success_was_not_heard_of(
    arize: Emulator, create: Create, asked: Asked
) -> None:
    instance = TaskInstance()
    task_id = create().execute(instance.next_try())

    assert create().execute(instance.next_try()) == task_id
    assert asked(CREATE) == 1


def test_a_task_cleared_after_success_starts_afresh(arize: Emulator, create: Create) -> None:
    instance = TaskInstance()
    task_id = create().execute(instance.next_try())
    instance.clear()

    with pytest.raises(TaskExists, match=task_id):
        create().execute(instance.next_try())
    assert create(if_exists="skip").execute(instance.next_try()) == task_id


def test_a_task_cleared_after_a_retry_succeeded_starts_afresh(arize: Emulator, create: Create) -> None:
    instance = TaskInstance()
    task_id = obtain(arize, instance).id  # and its process ends before it says so
    assert create().execute(instance.next_try()) == task_id
    instance.clear()

    with pytest.raises(TaskExists, match=task_id):
        create().execute(instance.next_try())


def test_a_task_that_was_deleted_between_two_tries_is_created_again(arize: Emulator, asked: Asked) -> None:
    instance = TaskInstance()
    first = obtain(arize, instance)
    with OnlineTasksHook() as hook:
        hook.delete_task(first.id)

    second = obtain(arize, instance)

    assert second.outcome is Outcome.CREATED
    assert second.id != first.id
    assert asked(CREATE) == 2


def test_a_name_that_changed_between_two_tries(
    arize: Emulator, killed: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    instance = TaskInstance()
    killed("after")
    with pytest.raises(Killed):
        obtain(arize, instance)

    obtain(arize, instance, name="another name")

    assert [task["name"] for task in arize.tasks()] == ["answer correctness", "another name"]
    assert "An earlier try was for a task named 'answer correctness'" in caplog.text


class TestBeforeAirflow33:
    """Nothing is kept between tries."""

    def test_from_the_second_try_on_a_task_created_since_the_dag_run_began_is_ours(
        self, arize: Emulator, asked: Asked, killed: Callable[..., None]
    ) -> None:
        instance = TaskInstance(is_kept=False)
        killed("after")
        with pytest.raises(Killed):
            obtain(arize, instance)

        obtained = obtain(arize, instance)

        assert obtained.outcome is Outcome.ADOPTED
        assert [task["id"] for task in arize.tasks()] == [obtained.id]
        assert asked(CREATE) == 1

    def test_a_server_s_clock_that_is_wrong(self, arize: Emulator, killed: Callable[..., None]) -> None:
        arize.set_clock_offset(-7200)
        instance = TaskInstance(is_kept=False)
        killed("after")
        with pytest.raises(Killed):
            obtain(arize, instance)

        assert obtain(arize, instance).outcome is Outcome.ADOPTED

    def test_a_first_try_has_made_nothing_yet(self, arize: Emulator) -> None:
        obtain(arize, TaskInstance(is_kept=False))
        with pytest.raises(TaskExists):
            obtain(arize, TaskInstance(is_kept=False))

    def test_an_older_task_is_not_ours(self, arize: Emulator) -> None:
        obtain(arize, TaskInstance(is_kept=False))
        instance = TaskInstance(is_kept=False)
        instance.dag_run_start += timedelta(hours=1)

        for _ in range(2):
            with pytest.raises(TaskExists):
                obtain(arize, instance)

    def test_a_dag_run_without_a_start(self, arize: Emulator) -> None:
        instance = TaskInstance(is_kept=False)
        obtain(arize, TaskInstance(is_kept=False))
        instance.next_try()
        context = {**instance.next_try(), "dag_run": SimpleNamespace(start_date=None)}
        with OnlineTasksHook() as hook, pytest.raises(TaskExists):
            TaskCreation(
                hook=hook,
                task=EvalTaskInput.read({"model_id": arize.project_id, **TASK}),
                if_exists="fail",
                context=context,
                log=log,
            ).obtain()


def test_an_older_task_that_was_not_listed_at_first_is_not_taken_for_the_lost_one(arize: Emulator) -> None:
    obtain(arize, TaskInstance())
    arize.advance(3600)
    nothing = '{"tasks": [], "pagination": {"has_more": false, "next_cursor": null}}'
    arize.add_fault(Fault("rest.list_tasks", "garbage", body=nothing))
    arize.add_fault(Fault(CREATE, "drop_before"))

    with pytest.raises(BadRequest, match="already exists"):
        obtain(arize, TaskInstance(), if_exists="fail")

    assert len(arize.requests(CREATE)) == 3


@pytest.fixture
def overtaken(arize: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another DAG run creates the task after this one has looked for it, and before it asks for it."""
    send = OnlineTasksHook.create_eval_task

    def create_eval_task(hook: OnlineTasksHook, task: EvalTaskInput) -> str:
        monkeypatch.setattr(OnlineTasksHook, "create_eval_task", send)
        obtain(arize, TaskInstance())
        return send(hook, task)

    monkeypatch.setattr(OnlineTasksHook, "create_eval_task", create_eval_task)


@pytest.mark.usefixtures("overtaken")
def test_two_dag_runs_that_create_it_at_the_same_time_use_the_same_task(arize: Emulator) -> None:
    obtained = obtain(arize, TaskInstance(), if_exists="skip")
    assert [task["id"] for task in arize.tasks()] == [obtained.id]


@pytest.mark.usefixtures("overtaken")
def test_the_same_where_arize_refuses_the_request_as_a_whole(arize: Emulator) -> None:
    arize.add_fault(Fault(CREATE, "graphql_error", skip=1, message="no", code="BAD_USER_INPUT"))
    obtained = obtain(arize, TaskInstance(), if_exists="skip")
    assert obtained.outcome is Outcome.EXISTED
    assert [task["id"] for task in arize.tasks()] == [obtained.id]


@pytest.mark.usefixtures("overtaken")
def test_the_one_that_is_to_fail_says_what_arize_says(arize: Emulator) -> None:
    arize.add_fault(Fault(CREATE, "graphql_error", skip=1, message="no", code="BAD_USER_INPUT"))
    with pytest.raises(BadRequest, match="no"):
        obtain(arize, TaskInstance(), if_exists="fail")


def test_what_arize_refuses_fails_at_once(arize: Emulator, create: Create) -> None:
    instance = TaskInstance()

    with pytest.raises(BadRequest, match="query filter"):
        create(query_filter="this is = = no filter").execute(instance.next_try())

    assert len(arize.requests(CREATE)) == 1
    # It is not waited for, as one whose answer was lost would be.
    assert len(arize.requests("rest.list_tasks")) <= 2
    assert instance.store is not None
    assert instance.store.values == {}


def test_an_outage_ends_in_an_error_that_a_retry_may_mend(arize: Emulator, asked: Asked) -> None:
    arize.add_fault(Fault(CREATE, "drop_before", times=None))
    instance = TaskInstance()

    with pytest.raises(Unavailable):
        obtain(arize, instance)
    arize.clear_faults()

    assert obtain(arize, instance).outcome is Outcome.CREATED
    assert len(arize.tasks()) == 1


@pytest.mark.parametrize("if_exists", ["fail", "skip"])
def test_a_task_of_the_same_name_on_another_model_is_not_ours(
    arize: Emulator, monkeypatch: pytest.MonkeyPatch, if_exists: str
) -> None:
    # A server whose filter by project lets others through.
    foreign = {"id": "T25saW5lVGFzazo5OTpxUndY", "name": TASK["name"], "project_id": "TW9kZWw6OTk5OnFSd1g="}
    asked: list[str | int | None] = []

    def page(creation: Any, call: Any) -> Page[Task]:
        asked.append(call.query.get("project_id"))
        return call.read({"tasks": [foreign], "pagination": {"has_more": False}})

    monkeypatch.setattr(TaskCreation, "_read_page", page)

    obtained = obtain(arize, TaskInstance(), if_exists=if_exists)

    assert (obtained.outcome, obtained.id) == (Outcome.CREATED, arize.tasks()[0]["id"])
    assert asked == [arize.project_id]

"""One call leaves nothing behind for the next, and two clients or keys share nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.async_client import AsyncClient
from airflow_provider_online_tasks.api.retry import NO_RETRY
from airflow_provider_online_tasks.emulator import Emulator, Fault
from airflow_provider_online_tasks.exceptions import (
    AuthenticationFailed,
    CallError,
    RateLimited,
    ResponseTooLarge,
    Unavailable,
    UnexpectedResponse,
)
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import RUN, TASK, run_of
from tests.support.servers import RecordingServer, Reply, Seen, closed_port, graphql_server

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client

HookOn = Callable[..., OnlineTasksHook]
RUNNING = {"id": RUN, "status": "RUNNING", "data": {"runOnlineTask": {"result": {"runId": RUN}}}}


def get_run(client: Client) -> Any:
    return client.send(calls.get_task_run(RUN), retry=NO_RETRY)


def start_run(client: Client) -> Any:
    return client.send(calls.run_online_task(run_of()), retry=NO_RETRY)


both = pytest.mark.parametrize("first", [get_run, start_run])
then = pytest.mark.parametrize("second", [get_run, start_run])


@both
@then
def test_lost_response_after_a_success_is_lost(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str, first: Any, second: Any
) -> None:
    run = calls.run_online_task(run_of(task_id))
    run_id = hook.client.send(run)
    ask = {get_run: calls.get_task_run(run_id), start_run: run}
    hook.client.send(ask[first])
    emulator.add_fault(Fault("*", "drop_before"))
    with pytest.raises(Unavailable) as caught:
        hook.client.send(ask[second], retry=NO_RETRY)
    assert caught.value.may_have_executed is (second is start_run)
    hook.client.send(ask[second], retry=NO_RETRY)


@both
@then
def test_unreadable_response_does_not_spoil_the_next(hook_on: HookOn, first: Any, second: Any) -> None:
    replies = [Reply(200, b" " * 4_000_000), Reply.of(RUNNING)]
    with RecordingServer(lambda _: replies.pop(0)) as arize:
        client = hook_on(host=arize.url).client
        with pytest.raises(UnexpectedResponse):
            first(client)
        second(client)


def test_unreachable_host_after_a_sent_request_may_not_have_executed(hook_on: HookOn) -> None:
    with RecordingServer(lambda _: Reply.of(RUNNING)) as app, closed_port() as closed:
        client = hook_on(host=closed, extra={"rest_host": app.url}).client
        get_run(client)
        with pytest.raises(Unavailable) as caught:
            start_run(client)
    assert not caught.value.may_have_executed


def test_call_after_close_opens_a_new_session(hook_on: HookOn) -> None:
    with RecordingServer(lambda _: Reply.of(RUNNING)) as arize:
        hook = hook_on(host=arize.url)
        hook.get_task_run(RUN)
        hook.close()
        hook.close()
        assert hook.get_task_run(RUN).id == RUN
        assert hook.run_online_task(run_of()) == RUN
    assert len(arize.seen) == 3


def test_sibling_survives_the_close_of_its_hook(hook_on: HookOn) -> None:
    with RecordingServer(lambda _: Reply.of(RUNNING)) as arize:
        hook = hook_on(host=arize.url)
        sibling = hook.sibling()
        assert sibling.client is not hook.client
        hook.get_task_run(RUN)
        sibling.get_task_run(RUN)
        hook.close()
        assert sibling.get_task_run(RUN).id == RUN
        sibling.close()


def test_two_keys_are_sent_by_their_own_hooks(hook_on: HookOn) -> None:
    with RecordingServer(lambda _: Reply.of(RUNNING)) as arize:
        hooks = [hook_on(host=arize.url, password=f"ak-{number}") for number in (1, 2)]
        for hook in (*hooks, *hooks):
            hook.get_task_run(RUN)
            hook.run_online_task(run_of())
    keys = [seen.headers.get("x-api-key") or seen.headers["authorization"] for seen in arize.seen]
    assert keys == ["Bearer ak-1", "ak-1", "Bearer ak-2", "ak-2"] * 2


def test_renew_uses_the_new_key_and_only_if_it_changed(
    hook_on: HookOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordingServer(lambda _: Reply.of(RUNNING)) as arize:
        hook = hook_on(host=arize.url, password="ak-old-key")
        old = hook.sibling()
        hook.get_task_run(RUN)
        client = hook.client
        assert not hook.renew()
        assert hook.client is client

        fields = {"conn_type": "arize_online_tasks", "host": arize.url, "password": "ak-new-key"}
        monkeypatch.setenv(f"AIRFLOW_CONN_{hook.conn_id.upper()}", json.dumps(fields))
        assert hook.renew()
        hook.get_task_run(RUN)
        hook.run_online_task(run_of())
        old.get_task_run(RUN)
        old.close()
    keys = [seen.headers.get("x-api-key") or seen.headers["authorization"] for seen in arize.seen]
    assert keys == ["Bearer ak-old-key", "Bearer ak-new-key", "ak-new-key", "Bearer ak-old-key"]


def test_before_send_ends_with_its_context(hook_on: HookOn) -> None:
    checked: list[int] = []
    replies = [Reply.of({}, 503), *[Reply.of(RUNNING)] * 3]
    with RecordingServer(lambda _: replies.pop(0)) as arize:
        client = hook_on(host=arize.url).client
        with client.before_send(lambda: checked.append(len(arize.seen))):
            client.send(calls.get_task_run(RUN))
        client.send(calls.get_task_run(RUN))
        assert checked == [0, 1]  # before each attempt, and not afterwards

        def stop() -> None:
            raise RuntimeError

        with pytest.raises(RuntimeError), client.before_send(stop):
            client.send(calls.get_task_run(RUN))
        client.send(calls.get_task_run(RUN))
    assert len(arize.seen) == 4


def test_input_type_of_one_server_is_not_used_for_another(hook_on: HookOn) -> None:
    payload = {"runOnlineTask": {"result": {"runId": RUN}}}
    for name in ("RunInput", "OtherInput"):
        with graphql_server({"runOnlineTask": name}, payload) as arize:
            hook = hook_on(host=arize.url)
            assert hook.run_online_task(run_of()) == RUN
            assert hook.run_online_task(run_of()) == RUN
        assert len(arize.seen) == 4


def test_retry_policy_of_one_call_is_not_kept(
    hook: OnlineTasksHook, emulator: Emulator, task_id: str
) -> None:
    emulator.add_fault(Fault("rest.get_task", "status_before", times=2))
    with pytest.raises(Unavailable):
        hook.client.send(calls.get_task(task_id), retry=NO_RETRY)
    assert hook.client.send(calls.get_task(task_id)).id == task_id
    assert len(emulator.requests("rest.get_task")) == 3


@pytest.mark.parametrize(
    "retry_after", ["Thu, 01 Jan 1970 00:00:00 GMT", "30", "soon", "-5", "1e9", "9" * 20]
)
def test_retry_after_is_the_same_in_both_clients(hook_on: HookOn, retry_after: str) -> None:
    with RecordingServer(lambda _: Reply.of({}, 429, Retry_After=retry_after)) as arize:
        hook = hook_on(host=arize.url)
        with pytest.raises(RateLimited) as blocking:
            get_run(hook.client)
        with pytest.raises(RateLimited) as waiting:
            asyncio.run(send_async(hook, calls.get_task_run(RUN)))
    assert waiting.value.retry_after == blocking.value.retry_after
    assert blocking.value.retry_after is None or 0 <= blocking.value.retry_after <= 86_400


async def send_async(hook: OnlineTasksHook, call: calls.RestCall[Any]) -> Any:
    client = AsyncClient(hook.settings)
    try:
        return await client.send(call)
    finally:
        await client.close()


def test_async_client_after_failure_continues(hook_on: HookOn) -> None:
    replies = [Reply.of({}, 401), Reply(200, b" " * 4_000_000), Reply.of(RUNNING)]

    async def main(hook: OnlineTasksHook) -> list[Any]:
        client, results = AsyncClient(hook.settings), []
        for _ in range(3):
            try:
                results.append((await client.send(calls.get_task_run(RUN))).id)
            except CallError as error:
                results.append(type(error))
        await client.close()
        return results

    with RecordingServer(lambda _: replies.pop(0)) as arize:
        assert asyncio.run(main(hook_on(host=arize.url))) == [AuthenticationFailed, ResponseTooLarge, RUN]


def test_two_async_clients_close_separately(hook_on: HookOn) -> None:
    async def main(hook: OnlineTasksHook) -> None:
        first, second = AsyncClient(hook.settings), AsyncClient(hook.settings)
        await asyncio.gather(*(client.send(calls.get_task_run(RUN)) for client in (first, second)))
        await first.close()
        assert (await second.send(calls.get_task_run(RUN))).id == RUN
        await second.close()

    with RecordingServer(lambda _: Reply.of(RUNNING)) as arize:
        asyncio.run(main(hook_on(host=arize.url)))


def test_skim_reads_only_wanted_runs_and_skips_malformed_ones(hook_on: HookOn) -> None:
    def reply(seen: Seen) -> Reply:
        runs = [
            {"id": "A", "status": "RUNNING"},
            {"id": "B", "status": 5},
            {"id": "C", "status": "FAILED"},
            7,
        ]
        return Reply.of({"task_runs": runs, "pagination": {"has_more": True, "next_cursor": "c"}})

    with RecordingServer(reply) as arize:
        page = hook_on(host=arize.url).client.send(calls.skim_task_runs(TASK, {"A", "B"}, cursor="b"))
    assert ([run.id for run in page.items], page.next_cursor) == (["A"], "c")
    assert "cursor=b" in arize.seen[0].target

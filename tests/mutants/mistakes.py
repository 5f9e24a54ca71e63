"""Mistakes that tests have once not noticed, and the test that notices each now: ``make planted``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Planted:
    """A mistake.

    :param what: what it does, in a few words.
    :param file: the file of the package it is planted in.
    :param old: a text that is in the file once.
    :param new: what takes its place.
    :param tests: the tests that are to notice.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


PLANTED: tuple[Planted, ...] = (
    Planted(
        "more requests than Arize allows in a minute",
        "waiting/budget.py",
        "WINDOW_SECONDS = 61.0",
        "WINDOW_SECONDS = 55.0",
        ("tests/unit/waiting/test_budget.py",),
    ),
    Planted(
        "the gap between requests ignores the burst",
        "waiting/budget.py",
        "(self._rate - self.burst + 1)",
        "self._rate",
        ("tests/unit/waiting/test_budget.py",),
    ),
    Planted(
        "Retry-After is ignored",
        "waiting/_endpoint_state.py",
        "if asked_for is not None:",
        "if asked_for is not None and asked_for < 0:",
        ("tests/unit/waiting/test_endpoint_state.py",),
    ),
    Planted(
        "Retry-After has no upper bound",
        "waiting/_endpoint_state.py",
        "return min(max(retry_after, FIRST_PAUSE), LONGEST_RETRY_AFTER)",
        "return max(retry_after, FIRST_PAUSE)",
        ("tests/unit/waiting/test_endpoint_state.py",),
    ),
    Planted(
        "pauses of an outage double for ever",
        "waiting/_endpoint_state.py",
        "return float(min(first * 2.0 ** (min(max(times, 1), 20) - 1), most))",
        "return float(first * 2.0 ** (min(max(times, 1), 20) - 1))",
        ("tests/unit/waiting/test_endpoint_state.py",),
    ),
    Planted(
        "a streak of failures survives an answer",
        "waiting/_endpoint_state.py",
        "self._pauses = self._refusals = 0\n        self.trouble = None",
        "self._refusals = 0\n        self.trouble = None",
        ("tests/unit/waiting/test_endpoint_state.py",),
    ),
    Planted(
        "an unreadable page of the whole host ends each wait",
        "waiting/poller.py",
        "or self._endpoint.answered_at > run.failing_since\n            or len(self._runs) == 1",
        "or True",
        ("tests/unit/waiting/test_poller.py",),
    ),
    Planted(
        "the connection is looked up once",
        "waiting/watch.py",
        "for delay in (*LOOK_UP_DELAYS, None):",
        "for delay in (None,):",
        ("tests/unit/waiting/test_poller.py", "tests/unit/waiting/test_trigger.py"),
    ),
    Planted(
        "max_spans is lost when a triggerer restarts",
        "triggers/runs.py",
        '"max_spans": self.max_spans,\n                "payload"',
        '"payload"',
        ("tests/unit/waiting/test_trigger.py",),
    ),
    Planted(
        "a kill takes longer than Airflow waits for it",
        "triggers/runs.py",
        "ON_KILL_SECONDS = 24.0",
        "ON_KILL_SECONDS = 2400.0",
        ("tests/unit/waiting/test_kills.py", "tests/unit/waiting/test_trigger.py"),
    ),
    Planted(
        "the deferred sensor's deadline is counted from 1970",
        "sensors/runs.py",
        "deadline=time.time() + self.timeout",
        "deadline=self.timeout",
        ("tests/unit/waiting/test_sensor.py",),
    ),
    Planted(
        "the deferred sensor takes a timeout for a failure",
        "sensors/runs.py",
        "if seen.outcome == TIMEOUT:",
        'if seen.outcome == "never":',
        ("tests/unit/waiting/test_sensor.py",),
    ),
    Planted(
        "the deferred sensor forgets its interval",
        "sensors/runs.py",
        "poll_interval=self.poke_interval,\n                deadline",
        "deadline",
        ("tests/unit/waiting/test_sensor.py",),
    ),
    Planted(
        "killing a sensor cancels the run",
        "sensors/runs.py",
        "cancel_on_kill=False,",
        "cancel_on_kill=True,",
        ("tests/unit/waiting/test_sensor.py",),
    ),
    Planted(
        "any order of a list counts as newest first",
        "waiting/finished_runs.py",
        "is_newest_first = created[0] > created[-1] and created == sorted(created, reverse=True)",
        "is_newest_first = True",
        ("tests/integration/events/test_task_runs_trigger.py",),
    ),
    Planted(
        "watchers ask without a budget",
        "waiting/finished_runs.py",
        "await _wait_for(share)",
        "await asyncio.sleep(0)",
        ("tests/integration/events/test_watch_is_bounded.py",),
    ),
    Planted(
        "runs are remembered before they are reported",
        "triggers/task_runs.py",
        "is_first = self._remembered is None\n",
        "is_first = self._remembered is None\n        await self._remember(found.memory)\n",
        ("tests/integration/events/test_task_runs_trigger.py",),
    ),
    Planted(
        "only the first page of spans is read",
        "results/reading.py",
        "cursor = page.next_cursor\n            if cursor is None:",
        "cursor = page.next_cursor\n            if cursor is not None:",
        ("tests/unit/results/test_results.py", "tests/unit/results/test_whole.py"),
    ),
    Planted(
        "shares are of all evaluations, not of the labelled",
        "results/statistics.py",
        '"share": count / self.labelled',
        '"share": count / self.evaluated',
        ("tests/unit/results/test_results.py",),
    ),
    Planted(
        "the mean is that of the first 10,000 scores",
        "results/statistics.py",
        "self.mean += away / self.count\n",
        "self.mean += away / self.count if self.count <= 10_000 else 0.0\n",
        ("tests/unit/results/test_results.py",),
    ),
    Planted(
        "the sample is the first 10,000 scores",
        "results/statistics.py",
        "int(self.chance.random() * self.count)) < SCORES_KEPT",
        "self.count) < 0",
        ("tests/unit/results/test_results.py",),
    ),
    Planted(
        "a drop passes when nothing is measured now",
        "results/verdict.py",
        'return replace(finding, note=reason or "nothing to measure")',
        'return replace(finding, outcome=HELD, note=reason or "nothing to measure")',
        ("tests/unit/results/test_gate.py", "tests/unit/results/test_verdict.py"),
    ),
    Planted(
        "scores that are no numbers pass",
        "results/verdict.py",
        "if not threshold.is_label and found.not_numbers:",
        "if not threshold.is_label and found.not_numbers < 0:",
        ("tests/unit/results/test_gate.py", "tests/unit/results/test_verdict.py"),
    ),
    Planted(
        "closing a client leaves its session open",
        "api/client.py",
        "self._session.close()",
        "pass",
        ("tests/unit/api/test_connections.py",),
    ),
    Planted(
        "a read time-out counts as a request that was not sent",
        "api/async_client.py",
        "httpx.ConnectTimeout, httpx.PoolTimeout,",
        "httpx.TimeoutException,",
        ("tests/unit/api/test_async_client.py",),
    ),
    Planted(
        "only the first page of tasks is read",
        "hooks/online_tasks.py",
        "lambda cursor: calls.list_tasks(project_id=model_id, name=name, cursor=cursor),",
        "lambda cursor: calls.list_tasks(project_id=model_id, name=name),",
        ("tests/unit/api/test_calls.py", "tests/unit/api/test_pages.py"),
    ),
    Planted(
        "a run over another window's end is adopted",
        "once/run.py",
        "\n        and abs(run.data_end_time - window.end) < WINDOW_TOLERANCE",
        "",
        ("tests/unit/once/run/test_tries.py", "tests/unit/once/run/test_faults.py"),
    ),
    Planted(
        "a record claims to know all runs when it knows a page of them",
        "once/run.py",
        "knows_all=page.next_cursor is None and len(seen) <= MAX_KNOWN_RUNS,",
        "knows_all=True,",
        ("tests/unit/once/run/test_tries.py", "tests/unit/once/run/test_faults.py"),
    ),
    Planted(
        "the newest run is adopted instead of the oldest",
        "once/run.py",
        "yield from sorted(found, key=lambda run: run.created_at or LATEST)",
        "yield from sorted(found, key=lambda run: run.created_at or LATEST, reverse=True)",
        ("tests/unit/once/run/test_tries.py", "tests/unit/once/run/test_faults.py"),
    ),
    Planted(
        "a search that failed counts as no run",
        "once/look_up.py",
        "if trouble is not None:\n                    raise trouble\n",
        "",
        ("tests/unit/once/run/test_faults.py",),
    ),
    Planted(
        "a task of another model is used",
        "once/eval_task.py",
        "project_id=self._task.model_id, name=self._task.name, cursor=cursor",
        "name=self._task.name, cursor=cursor",
        ("tests/unit/once/eval_task/test_if_exists.py", "tests/unit/once/eval_task/test_create_once.py"),
    ),
    Planted(
        "a listed task of another model is used",
        "once/eval_task.py",
        "if task.name == self._task.name and task.project_id in (None, self._task.model_id)",
        "if task.name == self._task.name",
        ("tests/unit/once/eval_task/test_if_exists.py", "tests/unit/once/eval_task/test_create_once.py"),
    ),
    Planted(
        "a task that was there before is adopted although if_exists is fail",
        "once/eval_task.py",
        'if is_new or self._if_exists != "fail":',
        "if is_new or self._if_exists:",
        ("tests/unit/once/eval_task/test_if_exists.py", "tests/unit/once/eval_task/test_create_once.py"),
    ),
    Planted(
        "lookback ends where the data interval begins",
        "operators/_window.py",
        "until = interval_end or",
        "until = interval_start or",
        ("tests/unit/inputs/test_times_and_windows.py",),
    ),
    Planted(
        'the text "false" is read as true',
        "inputs/_values.py",
        'return value.strip().lower() == "true"',
        "return bool(value.strip())",
        ("tests/unit/inputs",),
    ),
    Planted(
        "the later of timeout and execution_timeout counts",
        "operators/runs.py",
        "return min(limits, key=",
        "return max(limits, key=",
        ("tests/unit/once/run/test_endings.py", "tests/unit/operators"),
    ),
    Planted(
        "an event about another run is accepted",
        "operators/runs.py",
        "if seen.run_id != run_id:\n            raise wait_error(None, f\"The trigger's",
        "if seen.run_id is None:\n            raise wait_error(None, f\"The trigger's",
        ("tests/unit/once/run/test_endings.py", "tests/unit/operators"),
    ),
    Planted(
        "killing a task that does not wait cancels its run",
        "operators/runs.py",
        "if not (self.cancel_on_kill and self.wait_for_completion):",
        "if not self.cancel_on_kill:",
        ("tests/unit/once/run", "tests/unit/operators"),
    ),
    Planted(
        "a missing mutation is no problem",
        "doctor/schema.py",
        'found="there is no such mutation")',
        'found="there is no such mutation", matters=False)',
        ("tests/unit/doctor",),
    ),
    Planted(
        "an answer that cannot be read is no problem",
        "doctor/schema.py",
        "errors = [one.message for one in validate(schema, document)]",
        "errors: list[str] = []",
        ("tests/unit/doctor",),
    ),
)

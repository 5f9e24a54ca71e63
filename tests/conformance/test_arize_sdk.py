"""Arize's SDK works against the emulator: tasks, runs, spans, and the errors that it raises."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from arize import ArizeClient
from arize._generated import api_client as generated
from arize._generated.api_client import exceptions
from arize.tasks.types import (
    RunStatus,
    TaskEvaluatorInput,
    TaskQueryFilter,
    TaskQueryFilters,
    TaskType,
)
from arize.utils.resolve import NotFoundError
from arize.version import __version__ as sdk_version

from airflow_provider_online_tasks.emulator import Fault, RunFate
from tests.support.sent_spans import EXAMPLES, dataset_body, queue_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import EmulatorProcess

pytestmark = pytest.mark.conformance

SPACE = "Emulated space"
PROJECT = "support-assistant"
AGENTS = "attributes.openinference.span.kind = 'AGENT'"
MAPPINGS = {
    "input": "attributes.input.value",
    "output": "attributes.output.value",
    "reference": "attributes.metadata",
}
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
UNKNOWN_TASK = "T25saW5lVGFzazo0NTpxUndY"
UNKNOWN_RUN = "VGFza1J1bjo5OTpxUndY"


def evaluator(emulator: EmulatorProcess, name: str = "correctness", **fields: Any) -> TaskEvaluatorInput:
    if name == "correctness":
        fields.setdefault("column_mappings", MAPPINGS)
    return TaskEvaluatorInput(
        generated.SpanEvaluatorInput(evaluator_id=emulator.evaluator_ids[name], **fields)
    )


def template(name: str = "calm", **fields: Any) -> generated.TemplateConfigInput:
    integration = "TGxtSW50ZWdyYXRpb246MTpxUndY"
    return generated.TemplateConfigInput.from_dict(
        {
            "name": name,
            "template": "{input}",
            "include_explanations": True,
            "use_function_calling": False,
            "classification_choices": {"bad": 0, "good": 1},
            "llm_config": {
                "ai_integration_id": integration,
                "model_name": "gpt-4o",
                "invocation_parameters": {},
                "provider_parameters": {},
            },
            **fields,
        }
    )


def make_task(arize: ArizeClient, emulator: EmulatorProcess, name: str = "nightly", **fields: Any) -> Any:
    return arize.tasks.create_evaluation_task(
        **{
            "name": name,
            "task_type": TaskType.TEMPLATE_EVALUATION,
            "project": emulator.project_id,
            "evaluators": [evaluator(emulator)],
            "query_filter": AGENTS,
            "is_continuous": False,
            **fields,
        }
    )


def run_task(arize: ArizeClient, task: Any, **fields: Any) -> Any:
    window = {"data_start_time": NOW - 2 * DAY, "data_end_time": NOW}
    run = arize.tasks.trigger_run(task=task.id, **{**window, **fields})
    return arize.tasks.wait_for_run(run_id=run.id, poll_interval=0.05, timeout=600)


def test_sdk_version_is_the_expected_one() -> None:
    assert sdk_version == "8.61.0"


# --- spaces and projects ------------------------------------------------------------------------------------


def test_ids_are_found_by_name(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    (space,) = arize.spaces.list().spaces
    assert (space.id, space.name, space.organization_id) == (
        emulator.space_id,
        SPACE,
        emulator.organization_id,
    )
    assert arize.spaces.get(space=SPACE).id == emulator.space_id
    project, _ = arize.projects.list(space=SPACE).projects
    assert (project.id, project.name, project.space_id) == (emulator.project_id, PROJECT, emulator.space_id)
    assert arize.projects.get(project=PROJECT, space=SPACE).id == emulator.project_id
    assert arize.projects.get(project=emulator.project_id).name == PROJECT


def test_every_host_option_reaches_the_emulator(emulator: EmulatorProcess, tmp_path: Any) -> None:
    host, port = emulator.url.removeprefix("http://").split(":")
    client = ArizeClient(
        api_key=emulator.api_key,
        api_host=host,
        api_port=int(port),
        api_scheme="http",
        arize_directory=str(tmp_path),
        enable_caching=False,
    )
    assert client.tasks.list().tasks == []


# --- tasks --------------------------------------------------------------------------------------------------


def test_create_and_get(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    created = arize.tasks.create_evaluation_task(
        name="nightly",
        task_type=TaskType.TEMPLATE_EVALUATION,
        project=PROJECT,
        space=SPACE,
        evaluators=[
            evaluator(emulator, query_filter="latency_ms > 0", column_mappings={"input": "input.value"})
        ],
        sampling_rate=0.5,
        is_continuous=True,
        query_filter=AGENTS,
    )
    assert created.name == "nightly"
    assert created.type == "TEMPLATE_EVALUATION"
    assert created.project_id == emulator.project_id
    assert (created.sampling_rate, created.is_continuous, created.query_filter) == (0.5, True, AGENTS)
    (attached,) = created.evaluators
    assert attached.evaluator_id == emulator.evaluator_ids["correctness"]
    assert attached.query_filter == "latency_ms > 0"
    assert attached.column_mappings == {"input": "input.value"}
    assert abs(created.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert created.last_run_at is None
    assert arize.tasks.get(task=created.id) == created
    assert arize.tasks.get(task="nightly", space=SPACE) == created


def test_create_accepts_code_evaluator(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(
        arize,
        emulator,
        task_type=TaskType.CODE_EVALUATION,
        evaluators=[evaluator(emulator, "output_present")],
    )
    assert task.type == "CODE_EVALUATION"
    assert [found.id for found in arize.tasks.list(task_type=TaskType.CODE_EVALUATION).tasks] == [task.id]
    assert arize.tasks.list(task_type=TaskType.TEMPLATE_EVALUATION).tasks == []
    run = run_task(arize, task)
    assert run.num_successes > 20


def test_create_with_named_filters(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    created = arize.evaluators.create_template_evaluator(
        name="Calm", space=SPACE, commit_message="First", template_config=template(data_granularity="TRACE")
    )
    trace_evaluator = TaskEvaluatorInput(
        generated.TraceOrSessionEvaluatorInput(
            evaluator_id=created.id,
            query_mappings=[
                generated.TaskQueryMappingInput(
                    variable_name="input", query_ids=["A"], attribute_path="attributes.input.value"
                )
            ],
        )
    )
    filters = TaskQueryFilters(
        filters=[
            TaskQueryFilter(id="A", filter=AGENTS),
            TaskQueryFilter(id="B", filter="status_code = 'ERROR'"),
        ],
        expression="A AND NOT B",
    )
    task = make_task(arize, emulator, evaluators=[trace_evaluator], query_filter=None, query_filters=filters)
    assert task.query_filter is None
    assert task.query_filters.expression == "A AND NOT B"
    assert [each.id for each in task.query_filters.filters] == ["A", "B"]
    (attached,) = task.evaluators
    assert attached.query_mappings[0].attribute_path == "attributes.input.value"
    assert run_task(arize, task).status is RunStatus.COMPLETED


def test_evaluators_and_their_versions(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    created = arize.evaluators.create_template_evaluator(
        name="Calm", space=SPACE, commit_message="First", template_config=template()
    )
    assert created.version.template_config.name == "calm"
    second = arize.evaluators.create_template_version(
        evaluator=created.id, commit_message="Second", template_config=template(template="{output}")
    )
    versions = arize.evaluators.list_versions(evaluator=created.id).evaluator_versions
    assert [each.commit_message for each in versions] == ["Second", "First"]
    version = arize.evaluators.get_version(version_id=second.id)
    assert version.template_config.template == "{output}"
    assert arize.evaluators.get(evaluator="Calm", space=SPACE).id == created.id
    assert "Calm" in {each.name for each in arize.evaluators.list(space=SPACE).evaluators}
    arize.evaluators.delete(evaluator=created.id)
    with pytest.raises(exceptions.NotFoundException):
        arize.evaluators.get(evaluator=created.id)


def test_list_filters_and_pages(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    names = [f"task {number}" for number in range(5)]
    ids = {make_task(arize, emulator, name).id for name in names}
    assert [task.name for task in arize.tasks.list(name="TASK 3").tasks] == ["task 3"]
    assert len(arize.tasks.list(project=PROJECT, space=SPACE).tasks) == 5
    found, cursor = [], None
    for expected in (2, 2, 1):
        page = arize.tasks.list(limit=2, cursor=cursor)
        assert len(page.tasks) == expected
        found += [task.id for task in page.tasks]
        cursor = page.pagination.next_cursor
        assert page.pagination.has_more is (cursor is not None)
    assert cursor is None
    assert set(found) == ids
    assert len(found) == 5


def test_update_changes_what_is_given_and_nothing_else(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(arize, emulator, sampling_rate=1.0)
    updated = arize.tasks.update(task=task.id, sampling_rate=0.25)
    assert (updated.sampling_rate, updated.query_filter, updated.name) == (0.25, AGENTS, "nightly")
    assert arize.tasks.update(task="nightly", space=SPACE, query_filter=None).query_filter is None
    replaced = arize.tasks.update(
        task=task.id, name="hourly", is_continuous=True, evaluators=[evaluator(emulator, "relevance")]
    )
    assert (replaced.name, replaced.is_continuous, replaced.sampling_rate) == ("hourly", True, 0.25)
    assert [each.evaluator_name for each in replaced.evaluators] == ["relevance"]
    assert replaced.updated_at >= task.updated_at
    assert arize.tasks.get(task=task.id) == replaced


def test_delete(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(arize, emulator)
    arize.tasks.delete(task=task.id)
    assert arize.tasks.list().tasks == []
    for again in (arize.tasks.get, arize.tasks.delete):
        with pytest.raises(exceptions.NotFoundException):
            again(task=task.id)
    with pytest.raises(NotFoundError):
        arize.tasks.get(task="nightly", space=SPACE)


@pytest.mark.parametrize(
    ("fields", "statuses", "detail"),
    [
        ({"query_filter": "kind ="}, {400, 422}, "filter"),
        ({"project": "TW9kZWw6MTIzOmFCY0Q="}, {404}, "not found"),
        ({"task_type": TaskType.CODE_EVALUATION}, {422}, "does not fit"),
        ({"name": "taken"}, {400, 422}, "already exists"),
    ],
)
def test_invalid_task_is_rejected(
    arize: ArizeClient, emulator: EmulatorProcess, fields: dict[str, Any], statuses: set[int], detail: str
) -> None:
    make_task(arize, emulator, "taken")
    with pytest.raises(exceptions.ApiException) as caught:
        make_task(arize, emulator, **fields)
    assert caught.value.status in statuses
    assert detail in caught.value.data.detail
    assert len(emulator.tasks()) == 1


# --- runs ---------------------------------------------------------------------------------------------------


def test_trigger_and_wait(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(arize, emulator)
    run = arize.tasks.trigger_run(
        task="nightly", space=SPACE, data_start_time=NOW - 2 * DAY, data_end_time=NOW, max_spans=500
    )
    assert run.task_id == task.id
    assert run.status is RunStatus.PENDING
    assert (run.data_start_time, run.data_end_time) == (NOW - 2 * DAY, NOW)
    done = arize.tasks.wait_for_run(run_id=run.id, poll_interval=0.05, timeout=600)
    assert done.status is RunStatus.COMPLETED
    assert done.failure_reason is None
    assert done.created_at <= done.run_started_at <= done.run_finished_at
    assert arize.tasks.get_run(run_id=run.id) == done
    assert arize.tasks.get(task=task.id).last_run_at is not None

    evaluated = arize.spans.list(
        project=emulator.project_id, filter="eval.correctness.label IS NOT NULL", limit=500
    ).spans
    assert done.num_successes == len(evaluated) > 20
    assert (done.num_errors, done.num_skipped) == (0, 0)
    for span in evaluated:
        (evaluation,) = span.evaluations
        assert evaluation.label in {"correct", "incorrect"}
        assert evaluation.score == (1.0 if evaluation.label == "correct" else 0.0)
        assert evaluation.metadata["run_id"] == run.id
        assert evaluation.metadata["task_id"] == task.id
        assert NOW - 2 * DAY <= span.start_time <= NOW


def test_labelled_spans_are_evaluated_again_only_on_request(
    arize: ArizeClient, emulator: EmulatorProcess
) -> None:
    task = make_task(arize, emulator)
    first = run_task(arize, task)
    second = run_task(arize, task)
    assert second.status is RunStatus.CANCELLED
    assert (second.num_successes, second.num_errors, second.num_skipped) == (0, 0, 0)
    assert "override_evaluations" in second.failure_reason
    third = run_task(arize, task, override_evaluations=True)
    assert third.status is RunStatus.COMPLETED
    assert third.num_successes == first.num_successes
    wider = run_task(arize, task, data_start_time=NOW - 4 * DAY)
    assert wider.num_successes > 0
    assert wider.num_skipped == first.num_successes


def test_max_spans_and_sampling_limit_a_run(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(arize, emulator)
    few = run_task(arize, task, max_spans=5)
    whole = run_task(arize, task, override_evaluations=True)
    arize.tasks.update(task=task.id, sampling_rate=0.5)
    sampled = run_task(arize, task, override_evaluations=True)
    assert few.num_successes == 5
    assert 5 < sampled.num_successes < whole.num_successes


def test_list_runs_filters_and_pages(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(arize, emulator)
    done = [run_task(arize, task, override_evaluations=True).id for _ in range(3)]
    emulator.next_run(RunFate(outcome="hang"))
    hanging = arize.tasks.trigger_run(task=task.id, data_start_time=NOW - DAY, data_end_time=NOW).id
    listed = arize.tasks.list_runs(task=task.id)
    assert [run.id for run in listed.task_runs] == [hanging, *reversed(done)]
    completed = arize.tasks.list_runs(task="nightly", space=SPACE, status=RunStatus.COMPLETED)
    assert {run.id for run in completed.task_runs} == set(done)
    first = arize.tasks.list_runs(task=task.id, limit=3)
    assert first.pagination.has_more is True
    rest = arize.tasks.list_runs(task=task.id, limit=3, cursor=first.pagination.next_cursor)
    assert [run.id for run in [*first.task_runs, *rest.task_runs]] == [hanging, *reversed(done)]
    assert rest.pagination.has_more is False


def test_cancel(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(arize, emulator)
    emulator.next_run(RunFate(outcome="hang"))
    run = arize.tasks.trigger_run(task=task.id, data_start_time=NOW - DAY, data_end_time=NOW)
    with pytest.raises(TimeoutError):
        arize.tasks.wait_for_run(run_id=run.id, poll_interval=0.05, timeout=0.5)
    cancelled = arize.tasks.cancel_run(run_id=run.id)
    assert cancelled.status is RunStatus.CANCELLED
    assert cancelled.run_finished_at is not None
    with pytest.raises(exceptions.BadRequestException) as caught:
        arize.tasks.cancel_run(run_id=run.id)
    assert caught.value.data.detail == "cannot cancel a run with status 'cancelled'"


@pytest.mark.parametrize(
    ("fate", "status"),
    [
        (RunFate(outcome="fail", failure_reason="the evaluator is broken"), RunStatus.FAILED),
        (RunFate(outcome="cancel", failure_reason="the model rejected the key"), RunStatus.CANCELLED),
        (RunFate(outcome="nothing"), RunStatus.COMPLETED),
    ],
)
def test_failed_and_cancelled_runs_are_reported(
    arize: ArizeClient, emulator: EmulatorProcess, fate: RunFate, status: RunStatus
) -> None:
    task = make_task(arize, emulator)
    emulator.next_run(fate)
    run = run_task(arize, task)
    assert run.status is status
    assert run.failure_reason == fate.failure_reason


def test_errors_are_counted(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    task = make_task(arize, emulator)
    emulator.next_run(RunFate(error_rate=0.5))
    run = run_task(arize, task)
    assert run.status is RunStatus.COMPLETED
    assert run.num_errors > 0
    assert run.num_successes > 0


def test_second_run_starts_where_the_first_was_triggered(
    arize: ArizeClient, emulator: EmulatorProcess
) -> None:
    task = make_task(arize, emulator)
    with pytest.raises(exceptions.BadRequestException) as caught:
        arize.tasks.trigger_run(task=task.id)
    assert caught.value.data.detail
    run_task(arize, task)
    second = arize.tasks.trigger_run(task=task.id)
    assert second.data_start_time >= NOW


@pytest.mark.parametrize(
    ("start", "end", "detail"),
    [
        (NOW, NOW - DAY, "before"),
        (NOW, NOW, "before"),
        (NOW - 31 * DAY, NOW, "30 days"),
    ],
)
def test_invalid_window_is_rejected(
    arize: ArizeClient, emulator: EmulatorProcess, start: datetime, end: datetime, detail: str
) -> None:
    task = make_task(arize, emulator)
    with pytest.raises(exceptions.BadRequestException) as caught:
        arize.tasks.trigger_run(task=task.id, data_start_time=start, data_end_time=end)
    assert detail in caught.value.data.detail
    assert emulator.runs() == []


# --- spans --------------------------------------------------------------------------------------------------


def test_pages_contain_all_spans_of_a_window(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    found: list[Any] = []
    cursor = None
    while True:
        page = arize.spans.list(project=PROJECT, space=SPACE, limit=150, cursor=cursor)
        found += page.spans
        cursor = page.pagination.next_cursor
        if not page.pagination.has_more:
            break
    assert len(found) == len({span.context.span_id for span in found}) > 300
    assert cursor is None
    starts = [span.start_time for span in found]
    assert starts == sorted(starts, reverse=True)
    kinds = Counter(span.kind.value for span in found)
    assert set(kinds) == {"AGENT", "CHAIN", "LLM", "RETRIEVER", "TOOL"}
    assert {span.parent_id is None for span in found if span.kind.value == "AGENT"} == {True}


@pytest.mark.parametrize(
    ("query_filter", "holds"),
    [
        ("status_code = 'ERROR'", lambda span: span.status_code.value == "ERROR"),
        ("latency_ms > 1789", lambda span: span.end_time - span.start_time > timedelta(milliseconds=1789)),
        (AGENTS, lambda span: span.kind.value == "AGENT"),
        (
            "attributes.llm.model_name = 'gpt-4o' AND attributes.llm.token_count.total > 200",
            lambda span: span.attributes["llm.token_count.total"] > 200,
        ),
        (
            "span_kind IN ('LLM', 'TOOL') OR parent_id IS NULL",
            lambda span: span.kind.value in {"LLM", "TOOL", "AGENT"},
        ),
    ],
)
def test_spans_that_match_a_filter(
    arize: ArizeClient, emulator: EmulatorProcess, query_filter: str, holds: Callable[[Any], bool]
) -> None:
    spans = arize.spans.list(project=emulator.project_id, filter=query_filter, limit=500).spans
    assert spans
    assert all(holds(span) for span in spans)


def test_spans_of_a_window(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    start, end = NOW - 3 * DAY, NOW - 2 * DAY
    spans = arize.spans.list(project=emulator.project_id, start_time=start, end_time=end, limit=500).spans
    assert len(spans) > 30
    assert all(start <= span.start_time <= end for span in spans)


def test_columns_of_spans(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    search: dict[str, Any] = {"project": emulator.project_id, "filter": "kind = 'LLM'", "limit": 5}
    included = arize.spans.list(included_columns=["attributes.llm.model_name", "attributes.none"], **search)
    assert [set(span.attributes) for span in included.spans] == [{"llm.model_name"}] * 5
    excluded = arize.spans.list(excluded_columns=["attributes.llm.model_name"], **search)
    assert all("llm.model_name" not in span.attributes for span in excluded.spans)
    assert all("input.value" in span.attributes for span in excluded.spans)
    shortened = arize.spans.list(truncate_string_length=10, **search)
    texts = [text for span in shortened.spans for text in span.attributes.values() if isinstance(text, str)]
    assert max(map(len, texts)) == 10
    assert any(text.endswith("…") for text in texts)


@pytest.mark.parametrize(
    ("fields", "statuses"),
    [
        ({"filter": "kind = "}, {400, 422}),
        ({"filter": " "}, {422}),
        ({"included_columns": ["attributes.a"], "excluded_columns": ["attributes.b"]}, {422}),
        ({"cursor": "not a cursor"}, {400, 422}),
    ],
)
def test_invalid_span_search_is_rejected(
    arize: ArizeClient, emulator: EmulatorProcess, fields: dict[str, Any], statuses: set[int]
) -> None:
    with pytest.raises(exceptions.ApiException) as caught:
        arize.spans.list(project=emulator.project_id, **fields)
    assert caught.value.status in statuses
    assert caught.value.data.detail


# --- errors -------------------------------------------------------------------------------------------------


def test_wrong_key_is_unauthorized(
    make_client: Callable[[str], ArizeClient], emulator: EmulatorProcess
) -> None:
    stranger = make_client("ak-of-nobody")
    for ask in (
        stranger.tasks.list,
        lambda: stranger.tasks.get_run(run_id=UNKNOWN_RUN),
        lambda: stranger.spans.list(project=emulator.project_id),
    ):
        with pytest.raises(exceptions.UnauthorizedException) as caught:
            ask()
        assert caught.value.status == 401
        assert caught.value.data.title == "Unauthorized"
        assert "ak-of-nobody" not in str(caught.value)


def test_missing_objects_are_not_found(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    for ask in (
        lambda: arize.tasks.get(task=UNKNOWN_TASK),
        lambda: arize.tasks.list_runs(task=UNKNOWN_TASK),
        lambda: arize.tasks.trigger_run(task=UNKNOWN_TASK),
        lambda: arize.tasks.get_run(run_id=UNKNOWN_RUN),
        lambda: arize.tasks.cancel_run(run_id=UNKNOWN_RUN),
        lambda: arize.spans.list(project="TW9kZWw6MTIzOmFCY0Q="),
    ):
        with pytest.raises(exceptions.NotFoundException) as caught:
            ask()
        assert caught.value.data.status == 404
        assert caught.value.data.detail


def test_rate_limit_raises_too_many_requests(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    emulator.configure(queries_per_minute=3)
    for _ in range(3):
        arize.tasks.list()
    with pytest.raises(exceptions.ApiException) as caught:
        arize.tasks.list()
    assert caught.value.status == 429
    assert caught.value.data.title == "Too Many Requests"
    assert "retry-after" not in {name.lower() for name in caught.value.headers}


def test_sdk_waits_for_retry_after(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    emulator.add_fault(Fault(operation="rest.list_tasks", kind="rate_limited", retry_after=1))
    started = time.monotonic()
    assert arize.tasks.list().tasks == []
    assert time.monotonic() - started >= 1
    assert [request["status"] for request in emulator.requests("rest.list_tasks")] == [429, 200]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(operation="rest.get_task_run", kind="forbidden"), "ForbiddenException"),
        (Fault(operation="rest.get_task_run", kind="status_before", status=503), "ServiceException"),
    ],
)
def test_faults_raise_errors_of_the_sdk(
    arize: ArizeClient, emulator: EmulatorProcess, fault: Fault, error: str
) -> None:
    run = run_task(arize, make_task(arize, emulator))
    emulator.add_fault(fault)
    with pytest.raises(getattr(exceptions, error)):
        arize.tasks.get_run(run_id=run.id)
    assert arize.tasks.get_run(run_id=run.id).id == run.id


def test_request_log_contains_the_sdk_but_no_key(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    arize.tasks.list()
    (request,) = emulator.requests("rest.list_tasks")
    assert (request["method"], request["status"], request["key_ok"]) == ("GET", 200, True)
    assert emulator.api_key not in str(emulator.requests())


# --- what SendSpansOperator sends ---------------------------------------------------------------------------


def post(emulator: EmulatorProcess, path: str, body: dict[str, Any]) -> None:
    key = {"Authorization": f"Bearer {emulator.api_key}"}
    requests.post(emulator.url + path, json=body, headers=key, timeout=30).raise_for_status()


def test_sdk_reads_spans_sent_to_a_queue(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    spans = arize.spans.list(project=emulator.project_id, filter=AGENTS, limit=3).spans
    config = arize.annotation_configs.create_freeform(name="review", space=SPACE)
    queue = arize.annotation_queues.create(
        name="review", space=SPACE, annotation_config_ids=[config.id], annotator_emails=["a@example.com"]
    )
    span_ids = [span.context.span_id for span in spans]
    starts = [span.start_time for span in spans]
    body = queue_body(
        emulator.project_id,
        start=min(starts).isoformat(),
        end=(max(starts) + timedelta(milliseconds=1)).isoformat(),
        span_ids=span_ids,
    )
    post(emulator, f"/v2/annotation-queues/{queue.id}/records", body)

    first = arize.annotation_queues.list_records(annotation_queue="review", space=SPACE, limit=2)
    assert first.pagination.has_more
    second = arize.annotation_queues.list_records(
        annotation_queue=queue.id, limit=2, cursor=first.pagination.next_cursor
    )
    read = [record.to_dict() for record in [*first.records, *second.records]]
    assert sorted(record["data"]["context.span_id"] for record in read) == sorted(span_ids)


def test_sdk_reads_examples_sent_to_a_dataset(arize: ArizeClient, emulator: EmulatorProcess) -> None:
    dataset = arize.datasets.create(name="failures", space=SPACE, examples=[{"question": "theirs"}])
    post(emulator, f"/v2/datasets/{dataset.id}/examples", dataset_body(EXAMPLES))

    first = arize.datasets.list_examples(dataset="failures", space=SPACE, limit=1)
    assert first.pagination.has_more
    rest = arize.datasets.list_examples(dataset=dataset.id, cursor=first.pagination.next_cursor)
    theirs, *ours = [example.to_dict() for example in [*first.examples, *rest.examples]]
    assert theirs["question"] == "theirs"
    assert [{name: one[name] for name in sent} for one, sent in zip(ours, EXAMPLES, strict=True)] == EXAMPLES
    with pytest.raises(exceptions.ApiException):
        arize.datasets.list_examples(dataset=dataset.id, filter="label = 'toxic'")

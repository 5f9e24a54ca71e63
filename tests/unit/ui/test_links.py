"""Links from Airflow's UI to Arize's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.ui.links import (
    EvaluatorLink,
    Links,
    OnlineTaskRunLink,
    ProjectLink,
    ProjectPage,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PAGE = ProjectPage(
    ui_url="https://app.arize.com",
    organization_id="T3JnOjE=",
    space_id="U3BhY2U6MzEwMjI6NERxbA==",
    project_id="TW9kZWw6MTIzOmFCY0Q=",
)


@given(
    start=st.datetimes(datetime(1970, 1, 2), datetime(2050, 1, 1), timezones=st.just(UTC)),
    length=st.timedeltas(timedelta(microseconds=1), timedelta(days=90)),
    ids=st.tuples(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1)),
)
def test_spans_url_covers_the_window_to_the_millisecond(
    start: datetime, length: timedelta, ids: tuple[str, str, str]
) -> None:
    window = DataWindow(start=start, end=start + length)
    organization, space, project = ids
    page = ProjectPage(
        ui_url="https://app.arize.com", organization_id=organization, space_id=space, project_id=project
    )
    url = page.spans_url(window)
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("https", "app.arize.com")
    assert [part for at, part in enumerate(parts.path.split("/")) if at % 2] == [
        "organizations",
        "spaces",
        "projects",
    ]
    query = {name: value[0] for name, value in parse_qs(parts.query, keep_blank_values=True).items()}
    shown_start = EPOCH + timedelta(milliseconds=int(query.pop("startA")))
    shown_end = EPOCH + timedelta(milliseconds=int(query.pop("endA")))
    assert timedelta(0) <= window.start - shown_start < timedelta(milliseconds=1)
    assert timedelta(0) <= shown_end - window.end < timedelta(milliseconds=1)
    assert query == {
        "selectedTab": "llmTracing",
        "envA": "tracing",
        "modelType": "generative_llm",
        "queryFilterA": "",
    }


FILTER = "status_code = 'OK' AND attributes.llm.model_name = 'a & b=c'"


@pytest.mark.parametrize(("query_filter", "selected"), [(FILTER, FILTER), (None, "")])
def test_links_show_the_spans_of_the_task_filter(
    arize: Emulator, query_filter: str | None, selected: str
) -> None:
    task = EvalTaskInput(
        name="answers",
        model_id=arize.project_id,
        query_filter=query_filter,
        evaluators={"evaluator_id": arize.evaluator_ids["output_present"]},
    )
    with OnlineTasksHook() as hook:
        links = hook.links(
            hook.create_eval_task(task), DataWindow(start=EPOCH, end=EPOCH + timedelta(days=1))
        )

    assert links.spans is not None
    assert parse_qs(urlsplit(links.spans).query, keep_blank_values=True)["queryFilterA"] == [selected]


def test_links_filter_that_cannot_be_encoded_gives_no_link(arize: Emulator) -> None:
    with OnlineTasksHook() as hook:
        links = hook.links_of(
            project_id=arize.project_id,
            window=DataWindow(start=EPOCH, end=EPOCH + timedelta(days=1)),
            query_filter="name = '\ud800'",
        )

    assert links == Links(project_id=arize.project_id)


def test_spans_url_of_documented_window() -> None:
    url = PAGE.spans_url(DataWindow.read("2024-10-08T00:01:41.644Z", "2024-12-07T01:01:41.644Z"))
    assert url.startswith(
        "https://app.arize.com/organizations/T3JnOjE%3D/spaces/U3BhY2U6MzEwMjI6NERxbA%3D%3D"
        "/projects/TW9kZWw6MTIzOmFCY0Q%3D?selectedTab=llmTracing&startA=1728345701644&endA=1733533301644"
    )


def test_project_url_has_no_window() -> None:
    assert PAGE.spans_url() == (
        "https://app.arize.com/organizations/T3JnOjE%3D/spaces/U3BhY2U6MzEwMjI6NERxbA%3D%3D"
        "/projects/TW9kZWw6MTIzOmFCY0Q%3D?selectedTab=llmTracing&envA=tracing&modelType=generative_llm&queryFilterA="
    )


def test_evaluator_url() -> None:
    assert PAGE.evaluator_url("RXZhbHVhdG9yOjEyOmFCY0Q=") == (
        "https://app.arize.com/organizations/T3JnOjE%3D/spaces/U3BhY2U6MzEwMjI6NERxbA%3D%3D"
        "/evaluators/RXZhbHVhdG9yOjEyOmFCY0Q%3D"
    )


def test_operator_links_have_names_and_keys() -> None:
    assert [(link.name, link.xcom_key) for link in (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())] == [
        ("Spans in Arize", "run_url"),
        ("Project in Arize", "project_url"),
        ("Evaluator in Arize", "evaluator_url"),
    ]


def test_push_skips_unknown_links() -> None:
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))

    Links(project=PAGE.spans_url()).push({"ti": ti})

    assert pushed == {"project_url": PAGE.spans_url()}


def test_links_task_that_cannot_be_read_gives_no_link(arize: Emulator) -> None:
    with OnlineTasksHook() as hook:
        assert hook.links("T25saW5lVGFzazo0NTpxUndY") == Links()


def test_links_are_sent_once_without_retry(arize: Emulator) -> None:
    arize.add_fault(Fault("rest.get_project", "status_before", status=503, times=9))
    with OnlineTasksHook() as hook:
        assert hook.links_of(project_id=arize.project_id) == Links(project_id=arize.project_id)
    assert [request["operation"] for request in arize.requests()] == ["rest.get_project"]


def known_hook(arize: Emulator) -> OnlineTasksHook:
    """A hook whose connection has the IDs of all links."""
    hook = OnlineTasksHook()
    ids = {"organization_id": "O", "space_id": "S", "model_id": arize.project_id}
    hook.settings = replace(hook.settings, **ids)
    return hook


def test_links_skip_an_evaluator_that_is_defined_in_the_task(arize: Emulator) -> None:
    with known_hook(arize) as hook:
        links = hook.links_of(project_id=arize.project_id, evaluator_ids=[None, "first", "second"])

    assert links.evaluator is not None
    assert links.evaluator.endswith("/evaluators/first")


def test_links_ids_of_the_connection_need_no_request(arize: Emulator) -> None:
    window = DataWindow(start=EPOCH, end=EPOCH + timedelta(days=1))
    with known_hook(arize) as hook:
        known = hook.known_links(window)
        assert hook.links_of(project_id=arize.project_id, window=window) == known

    assert known.spans is not None
    assert known.spans.startswith(f"{hook.settings.endpoint.app_url}/organizations/O/spaces/S/projects/")
    assert arize.requests() == []


@pytest.mark.parametrize("missing", ["organization_id", "space_id", "model_id"])
def test_known_links_missing_id_gives_no_link_and_no_request(arize: Emulator, missing: str) -> None:
    with known_hook(arize) as hook:
        hook.settings = replace(hook.settings, **{missing: None})
        assert hook.known_links() == Links()

    assert arize.requests() == []


def test_links_project_shows_all_spans_without_the_filter_of_the_task(arize: Emulator) -> None:
    window = DataWindow(start=EPOCH, end=EPOCH + timedelta(days=1))
    with known_hook(arize) as hook:
        links = hook.links_of(project_id=arize.project_id, window=window, query_filter=FILTER)

    query = parse_qs(urlsplit(str(links.project)).query, keep_blank_values=True)
    assert query["queryFilterA"] == [""]
    assert "startA" not in query
    assert "startA" in parse_qs(urlsplit(str(links.spans)).query)


def test_span_link_needs_a_window_and_a_trace() -> None:
    links = Links(spans="https://app.example.com/spans?a=b")
    assert links.span("s/1", None) is None
    assert Links().span("s/1", "t 1") is None
    url = urlsplit(str(links.span("s/1", "t 1")))
    assert parse_qs(url.query) == {"a": ["b"], "selectedTraceId": ["t 1"], "selectedSpanId": ["s/1"]}


@pytest.mark.parametrize("link", [OnlineTaskRunLink(), ProjectLink(), EvaluatorLink()])
def test_operator_link_unknown_address_is_empty(link: OnlineTaskRunLink) -> None:
    operator: Any = SimpleNamespace()
    assert link.get_link(operator, ti_key=Any) == ""
    operator.links = Links(spans="run_url", project="project_url", evaluator="evaluator_url")
    assert link.get_link(operator, ti_key=Any) == link.xcom_key

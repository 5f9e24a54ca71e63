"""Small pure parts: links into Arize, what counts as a template, and the mark of what was left out."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.sdk import DAG, BaseOperator
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs import DataWindow, EvalTaskInput, TemplateEvaluator
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.unset import UNSET, Unset
from airflow_provider_online_tasks.ui.links import (
    EvaluatorLink,
    Links,
    OnlineTaskRunLink,
    Place,
    ProjectLink,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLACE = Place(
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
def test_a_link_shows_the_whole_window_to_the_millisecond(
    start: datetime, length: timedelta, ids: tuple[str, str, str]
) -> None:
    window = DataWindow(start=start, end=start + length)
    organization, space, project = ids
    place = Place(
        ui_url="https://app.arize.com", organization_id=organization, space_id=space, project_id=project
    )
    url = place.spans_url(window)
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
def test_a_link_shows_the_spans_that_the_task_selects(
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


def test_a_filter_that_no_address_can_hold_makes_no_link(arize: Emulator) -> None:
    with OnlineTasksHook() as hook:
        links = hook.links_of(
            project_id=arize.project_id,
            window=DataWindow(start=EPOCH, end=EPOCH + timedelta(days=1)),
            query_filter="name = '\ud800'",
        )

    assert links == Links(project_id=arize.project_id)


def test_the_link_of_the_seed_pages_window() -> None:
    url = PLACE.spans_url(DataWindow.read("2024-10-08T00:01:41.644Z", "2024-12-07T01:01:41.644Z"))
    assert url.startswith(
        "https://app.arize.com/organizations/T3JnOjE%3D/spaces/U3BhY2U6MzEwMjI6NERxbA%3D%3D"
        "/projects/TW9kZWw6MTIzOmFCY0Q%3D?selectedTab=llmTracing&startA=1728345701644&endA=1733533301644"
    )


def test_the_link_of_a_project_leaves_the_window_to_arize() -> None:
    assert PLACE.spans_url() == (
        "https://app.arize.com/organizations/T3JnOjE%3D/spaces/U3BhY2U6MzEwMjI6NERxbA%3D%3D"
        "/projects/TW9kZWw6MTIzOmFCY0Q%3D?selectedTab=llmTracing&envA=tracing&modelType=generative_llm&queryFilterA="
    )


def test_the_link_of_an_evaluator() -> None:
    assert PLACE.evaluator_url("RXZhbHVhdG9yOjEyOmFCY0Q=") == (
        "https://app.arize.com/organizations/T3JnOjE%3D/spaces/U3BhY2U6MzEwMjI6NERxbA%3D%3D"
        "/evaluators/RXZhbHVhdG9yOjEyOmFCY0Q%3D"
    )


def test_the_links_are_named_for_what_they_show() -> None:
    assert [(link.name, link.xcom_key) for link in (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())] == [
        ("Spans in Arize", "run_url"),
        ("Project in Arize", "project_url"),
        ("Evaluator in Arize", "evaluator_url"),
    ]


def test_only_the_links_that_are_known_are_pushed() -> None:
    pushed: dict[str, str] = {}
    ti = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))

    Links.within(PLACE).push({"ti": ti})

    assert pushed == {"project_url": PLACE.spans_url()}


@pytest.mark.parametrize(
    "value",
    [
        "{{ ds }}",
        "{% raw %}{{input}}{% endraw %}",
        "a {# comment #}",
        ["a", "{{ b }}"],
        ("a", {"b": "{{ c }}"}),
        {"a": {"b": ["{{ c }}"]}},
        {"{{ a }}": 1},
        {"{{ a }}"},
        TemplateEvaluator(name="{{ ds }}", template="t", rails=["a", "b"]),
    ],
)
def test_what_is_only_known_when_the_task_runs(value: Any) -> None:
    assert is_templated(value)


@pytest.mark.parametrize(
    "value",
    ["", "a { b }", "{output}", 5, None, True, [], {}, UNSET, datetime(2024, 1, 1), TemplateEvaluator],
)
def test_what_is_known_when_the_dag_is_parsed(value: Any) -> None:
    assert not is_templated(value)


def test_an_xcom_is_only_known_when_the_task_runs() -> None:
    with DAG("a_dag"):
        output = BaseOperator(task_id="upstream").output
    assert is_templated(output)
    assert is_templated({"a": [output["key"]]})


def test_the_mark_of_what_was_left_out_stays_itself() -> None:
    assert copy.deepcopy(UNSET) is UNSET
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert not UNSET
    assert (repr(UNSET), str(UNSET)) == ("UNSET", "UNSET")
    assert list(Unset) == [UNSET]

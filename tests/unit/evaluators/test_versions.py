"""One Eval Hub evaluator per name, and one version per content."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.evaluators.versions import STATE_KEY, add_hash, content_hash, read_hash
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    InvalidInput,
    PermissionDenied,
    Unavailable,
)
from airflow_provider_online_tasks.inputs.evaluators import EvaluatorInput
from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator
from tests.support.late_server import LateServer
from tests.support.task_instance import Killed, TaskInstance
from tests.support.tries import Time

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

    Make = Callable[..., EvaluatorOperator]

CREATE, ADD = "rest.create_evaluator", "rest.create_evaluator_version"
EVALUATOR: dict[str, Any] = {
    "name": "tone",
    "template": "Answer: {output}. Is it friendly?",
    "classification_choices": {"friendly": 1, "unfriendly": 0},
    "direction": "maximize",
    "include_explanations": True,
}
CODE: dict[str, Any] = {
    "name": "has answer",
    "code": "class HasAnswer:\n    def evaluate(self, output):\n        return bool(output)\n",
    "variables": ["attributes.output.value"],
}


def get(arize: Emulator, path: str) -> Any:
    """Send a GET request to the emulator with another client."""
    answer = requests.get(arize.url + path, headers={"Authorization": f"Bearer {arize.api_key}"}, timeout=60)
    answer.raise_for_status()
    return answer.json()


def named(arize: Emulator, name: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = get(arize, "/v2/evaluators?limit=100")["evaluators"]
    return [evaluator for evaluator in listed if evaluator["name"] == name]


def versions(arize: Emulator, evaluator_id: str) -> list[dict[str, Any]]:
    """Return the versions of an evaluator, newest first."""
    listed: list[dict[str, Any]] = get(arize, f"/v2/evaluators/{evaluator_id}/versions")["evaluator_versions"]
    return listed


@pytest.fixture
def llm(arize: Emulator) -> dict[str, Any]:
    [first, *_] = get(arize, "/v2/ai-integrations")["ai_integrations"]
    return {
        "integration_id": first["id"],
        "model_name": "gpt-4o",
        "invocation_parameters": {"temperature": 0},
    }


@pytest.fixture
def make(arize: Emulator, llm: dict[str, Any]) -> Make:
    """``make(template=…)``: the operator, with some arguments changed."""

    def make(**arguments: Any) -> EvaluatorOperator:
        fields = {**EVALUATOR, "llm_config": llm, **arguments}
        return EvaluatorOperator(
            task_id="evaluator", **{name: value for name, value in fields.items() if value is not ...}
        )

    return make


@pytest.fixture
def _time_flies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waiting take no time."""
    passed = [0.0]
    real = _clock.monotonic
    monkeypatch.setattr(_clock, "monotonic", lambda: real() + passed[0])
    monkeypatch.setattr(_clock, "sleep", lambda seconds: passed.__setitem__(0, passed[0] + seconds))
    monkeypatch.setitem(Client.__init__.__kwdefaults__, "sleep", _clock.sleep)


def execute(operator: EvaluatorOperator, instance: TaskInstance | None = None) -> dict[str, str]:
    return operator.execute((instance or TaskInstance()).next_try())


def test_evaluator_is_created_with_all_arguments(arize: Emulator, make: Make, llm: dict[str, Any]) -> None:
    result = execute(
        make(data_granularity="trace", description="Whether answers are friendly", column_name="tone v1")
    )

    evaluator = get(arize, f"/v2/evaluators/{result['evaluator_id']}")
    assert (evaluator["name"], evaluator["type"]) == ("tone", "TEMPLATE")
    assert evaluator["description"] == "Whether answers are friendly"
    assert evaluator["version"]["id"] == result["evaluator_version_id"]
    assert evaluator["version"]["template_config"] == {
        "name": "tone v1",
        "template": EVALUATOR["template"],
        "include_explanations": True,
        "use_function_calling": False,
        "use_structured_output": True,
        "classification_choices": {"friendly": 1.0, "unfriendly": 0.0},
        "direction": "MAXIMIZE",
        "data_granularity": "TRACE",
        "llm_config": {
            "ai_integration_id": llm["integration_id"],
            "model_name": "gpt-4o",
            "invocation_parameters": {"temperature": 0},
            "provider_parameters": {},
        },
    }


def test_switches_default_to_off(arize: Emulator, make: Make) -> None:
    result = execute(make(include_explanations=..., use_function_calling=...))
    config = versions(arize, result["evaluator_id"])[0]["template_config"]
    assert (config["include_explanations"], config["use_function_calling"]) == (False, False)


@pytest.mark.promise("evaluator-versions")
def test_same_content_creates_no_second_version(arize: Emulator, make: Make) -> None:
    first = execute(make())
    assert execute(make()) == first
    assert execute(make(commit_message="another message")) == first
    assert execute(make(classification_choices={"unfriendly": 0.0, "friendly": "1"})) == first
    assert len(versions(arize, first["evaluator_id"])) == 1
    assert (len(arize.requests(CREATE)), len(arize.requests(ADD))) == (1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"template": "Answer: {output}. Is it polite?"},
        {"classification_choices": {"friendly": 1, "unfriendly": -1}},
        {"direction": "none"},
        {"include_explanations": False},
        {"use_function_calling": True},
        {"data_granularity": "session"},
        {"column_name": "tone v2"},
    ],
)
def test_changed_content_creates_one_version(arize: Emulator, make: Make, change: dict[str, Any]) -> None:
    first = execute(make())
    second = execute(make(**change))
    assert second["evaluator_id"] == first["evaluator_id"]
    assert second["evaluator_version_id"] != first["evaluator_version_id"]
    assert execute(make(**change)) == second
    assert len(versions(arize, first["evaluator_id"])) == 2


def test_changed_llm_creates_version(arize: Emulator, make: Make, llm: dict[str, Any]) -> None:
    first = execute(make())
    execute(make(llm_config={**llm, "invocation_parameters": {"temperature": 1}}))
    assert len(versions(arize, first["evaluator_id"])) == 2


def test_version_created_in_arize_is_replaced_by_that_of_dag(arize: Emulator, make: Make) -> None:
    first = execute(make())
    version = versions(arize, first["evaluator_id"])[0]
    answer = requests.post(
        f"{arize.url}/v2/evaluators/{first['evaluator_id']}/versions",
        json={
            "commit_message": "manual",
            "template_config": {**version["template_config"], "template": "Other: {output}"},
        },
        headers={"Authorization": f"Bearer {arize.api_key}"},
        timeout=60,
    )
    assert answer.status_code == 201

    again = execute(make())

    newest, manual, _ = versions(arize, first["evaluator_id"])
    assert newest["id"] == again["evaluator_version_id"]
    assert newest["template_config"]["template"] == EVALUATOR["template"]
    assert manual["commit_message"] == "manual"


def test_newest_version_counts_in_any_order(arize: Emulator, make: Make) -> None:
    execute(make(template="{output}, friendly?"))
    result = execute(make())
    listed = versions(arize, result["evaluator_id"])
    oldest_first = json.dumps({"evaluator_versions": listed[::-1], "pagination": {"has_more": False}})
    arize.add_fault(Fault("rest.list_evaluator_versions", "garbage", body=oldest_first))

    assert execute(make()) == result
    assert versions(arize, result["evaluator_id"]) == listed


def test_version_without_time_is_not_newest(arize: Emulator, make: Make) -> None:
    execute(make(template="{output}, friendly?"))
    result = execute(make())
    newest, older = versions(arize, result["evaluator_id"])
    undated = {**older, "created_at": None}
    for order in ([newest, undated], [undated, newest]):
        body = json.dumps({"evaluator_versions": order, "pagination": {"has_more": False}})
        arize.add_fault(Fault("rest.list_evaluator_versions", "garbage", body=body))
        assert execute(make()) == result


def test_evaluator_and_version_are_found_on_second_page(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = execute(make())
    exchange = Client.exchange
    lists = {"list evaluators": "evaluators", "list evaluator versions": "evaluator_versions"}

    def start_with_empty_page(client: Client, call: Any, **options: Any) -> Any:
        if call.name not in lists:
            return exchange(client, call, **options)
        if call.query.get("cursor") != "second":
            pagination = {"has_more": True, "next_cursor": "second"}
            return call.read({lists[call.name]: [], "pagination": pagination}), SimpleNamespace(date=None)
        query = {name: value for name, value in call.query.items() if name != "cursor"}
        return exchange(client, replace(call, query=query), **options)

    monkeypatch.setattr(Client, "exchange", start_with_empty_page)
    assert execute(make()) == result
    assert (len(arize.requests(CREATE)), len(arize.requests(ADD))) == (1, 0)


def test_evaluator_of_same_name_in_another_space_is_ignored(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {"id": "RXZhbHVhdG9yOjk5OTpxUndY", "name": "tone", "type": "TEMPLATE"}
    exchange = Client.exchange

    def show_every_space(client: Client, call: Any, **options: Any) -> Any:
        if call.name != "list evaluators" or call.query.get("space_id") == arize.space_id:
            return exchange(client, call, **options)
        page = call.read({"evaluators": [foreign], "pagination": {"has_more": False}})
        return page, SimpleNamespace(date=None)

    monkeypatch.setattr(Client, "exchange", show_every_space)
    result = execute(make())
    assert [evaluator["id"] for evaluator in named(arize, "tone")] == [result["evaluator_id"]]


def test_code_evaluator_is_created(arize: Emulator, make: Make) -> None:
    arguments = {**dict.fromkeys(EVALUATOR, ...), "llm_config": ..., **CODE}
    result = execute(make(**arguments, imports="import json"))
    evaluator = get(arize, f"/v2/evaluators/{result['evaluator_id']}")
    assert evaluator["type"] == "CODE"
    config = evaluator["version"]["code_config"]
    assert (config["type"], config["name"], config["code"]) == ("CUSTOM", "has answer", CODE["code"])
    assert (config["variables"], config["imports"]) == (CODE["variables"], "import json")
    assert execute(make(**arguments, imports="import json")) == result


def test_changed_type_of_evaluator_is_rejected(arize: Emulator, make: Make) -> None:
    execute(make())
    code = {**dict.fromkeys(EVALUATOR, ...), "llm_config": ..., **CODE, "name": "tone"}
    with pytest.raises(InvalidInput):
        execute(make(**code))
    assert len(named(arize, "tone")) == 1


def test_only_exact_name_matches(arize: Emulator, make: Make) -> None:
    execute(make(name="tone of answers"))
    execute(make(name="Tone"))
    result = execute(make())
    assert [evaluator["id"] for evaluator in named(arize, "tone")] == [result["evaluator_id"]]


# Arize's templates


def test_arizes_template_is_used_by_name(arize: Emulator, make: Make) -> None:
    templates = get(arize, "/v2/evaluator-templates")["evaluator_templates"]
    [theirs] = [template for template in templates if template["column_name"] == "user_frustration"]
    result = execute(
        make(name="frustration", template="user_frustration", classification_choices=..., direction=...)
    )
    config = get(arize, f"/v2/evaluators/{result['evaluator_id']}")["version"]["template_config"]
    for name in ("template", "classification_choices", "direction", "data_granularity"):
        assert config[name] == theirs[name]
    assert config["name"] == "frustration"


def test_unknown_template_error_lists_templates(make: Make) -> None:
    with pytest.raises(InvalidInput) as caught:
        execute(make(template="halucination", classification_choices=...))
    assert "'hallucination'" in str(caught.value)


@pytest.mark.parametrize("field", ["template", "code"])
def test_jinja_is_rejected_unless_jinja_is_set(make: Make, field: str) -> None:
    text = "On {{ ds }}: {output}" if field == "template" else CODE["code"] + "# {{ ds }}"
    fields = {**dict.fromkeys(EVALUATOR, ...), **CODE, "llm_config": ...} if field == "code" else {}
    with pytest.raises(InvalidInput, match=field):
        make(**{**fields, field: text})
    with pytest.raises(InvalidInput, match=field):
        EvaluatorInput.check_literals({"name": "n", field: text})
    operator = make(**{**fields, field: text, "jinja": True})
    operator.render_template_fields({"ds": "2026-01-01"})
    assert "2026-01-01" in getattr(operator, field)


def test_content_hash_is_stable() -> None:
    # A different hash would publish each evaluator again.
    assert content_hash({"template": "{output}, n’est-ce pas ?", "b": 1}) == "ed775254cd366d07"
    assert content_hash({"b": 1, "template": "{output}, n’est-ce pas ?"}) == "ed775254cd366d07"


# Lost responses and later tries


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "status_after"])
@pytest.mark.usefixtures("_time_flies")
def test_lost_response_adopts_evaluator(arize: Emulator, make: Make, fault: str) -> None:
    arize.add_fault(Fault(CREATE, fault, status=503))
    result = execute(make())
    assert [evaluator["id"] for evaluator in named(arize, "tone")] == [result["evaluator_id"]]
    assert [version["id"] for version in versions(arize, result["evaluator_id"])] == [
        result["evaluator_version_id"]
    ]


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "status_after"])
@pytest.mark.usefixtures("_time_flies")
def test_lost_response_adopts_version(arize: Emulator, make: Make, fault: str) -> None:
    execute(make())
    arize.add_fault(Fault(ADD, fault, status=503))
    result = execute(make(template="{output}, friendly?"))
    newest, _ = versions(arize, result["evaluator_id"])
    assert newest["id"] == result["evaluator_version_id"]


@pytest.mark.usefixtures("_time_flies")
def test_request_that_did_not_arrive_is_sent_again(arize: Emulator, make: Make) -> None:
    arize.add_fault(Fault(CREATE, "status_before", status=503))
    result = execute(make())
    assert len(versions(arize, result["evaluator_id"])) == 1
    assert len(arize.requests(CREATE)) == 2


@pytest.mark.usefixtures("_time_flies")
def test_failed_search_sends_nothing_and_next_try_adopts_version(arize: Emulator, make: Make) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "drop_after"))
    arize.add_fault(Fault("rest.list_evaluators", "status_before", status=503, skip=1, times=None))
    with pytest.raises(Unavailable):
        execute(make(), instance)
    arize.clear_faults()

    result = execute(make(), instance)

    assert [evaluator["id"] for evaluator in named(arize, "tone")] == [result["evaluator_id"]]
    assert len(arize.requests(CREATE)) == 1


def test_two_dags_at_the_same_time_use_one_evaluator(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, others = Client.exchange, []

    def overtake(client: Client, call: Any, **options: Any) -> Any:
        if call.name == "create evaluator":
            monkeypatch.setattr(Client, "exchange", exchange)
            others.append(execute(make()))
        return exchange(client, call, **options)

    monkeypatch.setattr(Client, "exchange", overtake)
    assert [execute(make())] == others
    assert len(named(arize, "tone")) == 1


def test_rejected_evaluator_raises(arize: Emulator, make: Make) -> None:
    arize.add_fault(Fault(CREATE, "status_before", status=400))
    with pytest.raises(BadRequest):
        execute(make())
    assert named(arize, "tone") == []


@pytest.mark.parametrize("name", ["create_evaluator", "create_evaluator_version"])
@pytest.mark.usefixtures("_time_flies")
def test_without_state_store_retry_searches_for_version_of_earlier_try(
    arize: Emulator, make: Make, name: str
) -> None:
    """Before Airflow 3.3: the request of the first try is executed while the second searches."""
    if name == "create_evaluator_version":
        execute(make(template="{output}?"))
    instance = TaskInstance(is_kept=False)
    arize.add_fault(Fault(f"rest.{name}", "status_before", status=503, times=None))
    with pytest.raises(Unavailable):
        execute(make(), instance)
    arize.clear_faults()
    asked = len(arize.requests(f"rest.{name}"))
    sleep, late = _clock.sleep, []

    def arrive(seconds: float) -> None:
        sleep(seconds)
        if not late:
            late.append(execute(make()))  # another process, so nothing of it is known here

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_clock, "sleep", arrive)
        result = execute(make(), instance)

    assert [result] == late
    assert len(arize.requests(f"rest.{name}")) == asked + 1
    assert len(named(arize, "tone")) == 1


@pytest.mark.usefixtures("_time_flies")
def test_without_state_store_first_try_does_not_wait(arize: Emulator, make: Make) -> None:
    began = _clock.monotonic()
    execute(make(), TaskInstance(is_kept=False))
    assert _clock.monotonic() - began < 30
    assert len(arize.requests(CREATE)) == 1


@pytest.mark.usefixtures("_time_flies")
def test_retry_after_rejection_does_not_wait(arize: Emulator, make: Make) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "forbidden"))
    with pytest.raises(PermissionDenied):
        execute(make(), instance)
    began = _clock.monotonic()
    execute(make(), instance)
    assert _clock.monotonic() - began < 30


@pytest.mark.promise("evaluator-versions")
@pytest.mark.parametrize("is_kept", [True, False], ids=["3.3", "3.0"])
@pytest.mark.parametrize("is_new", [True, False], ids=["evaluator", "version"])
def test_try_killed_during_request_leaves_one_version(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch, is_kept: bool, is_new: bool
) -> None:
    """The request of the killed try is executed while the next try searches."""
    time = Time(arize)
    time.install(monkeypatch)
    if not is_new:
        execute(make(template="{output}?"))
    instance = TaskInstance(is_kept=is_kept)
    call = "create evaluator" if is_new else "create evaluator version"
    late = LateServer(time, call, 30, raises=Killed).install(monkeypatch)
    with pytest.raises(Killed):
        execute(make(), instance)

    result = execute(make(), instance)

    assert late.received == 1
    assert len(named(arize, "tone")) == 1
    listed = versions(arize, result["evaluator_id"])
    assert listed[0]["id"] == result["evaluator_version_id"]
    assert len(listed) == (1 if is_new else 2)


@pytest.mark.usefixtures("_time_flies")
def test_rejected_request_leaves_no_intent_and_success_deletes_it(arize: Emulator, make: Make) -> None:
    instance = TaskInstance()
    assert instance.store is not None
    arize.add_fault(Fault(CREATE, "forbidden"))
    with pytest.raises(PermissionDenied):
        execute(make(), instance)
    assert instance.store.values == {}
    execute(make(), instance)
    assert instance.store.values == {}


@pytest.mark.usefixtures("_time_flies")
def test_third_try_after_two_failed_searches_adopts_version(arize: Emulator, make: Make) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "drop_after"))
    arize.add_fault(Fault("rest.list_evaluators", "status_before", status=503, skip=1, times=None))
    for _ in range(2):
        with pytest.raises(Unavailable):
            execute(make(), instance)
    arize.clear_faults()
    result = execute(make(), instance)
    assert [evaluator["id"] for evaluator in named(arize, "tone")] == [result["evaluator_id"]]
    assert len(arize.requests(CREATE)) == 1


@pytest.mark.usefixtures("_time_flies")
def test_content_that_changed_between_tries_is_not_searched_for(arize: Emulator, make: Make) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "status_before", status=503, times=3))
    with pytest.raises(Unavailable):
        execute(make(), instance)
    began = _clock.monotonic()
    result = execute(make(template="{output}, friendly?"), instance)
    assert _clock.monotonic() - began < 30
    assert len(versions(arize, result["evaluator_id"])) == 1


@pytest.mark.parametrize("change", ["name", "space"])
@pytest.mark.usefixtures("_time_flies")
def test_evaluator_or_space_changed_between_tries_not_searched(
    arize: Emulator, make: Make, change: str
) -> None:
    instance = TaskInstance()
    assert instance.store is not None
    arize.add_fault(Fault(CREATE, "status_before", status=503, times=3))
    with pytest.raises(Unavailable):
        execute(make(), instance)
    if change == "space":  # the emulator has one space
        instance.store.values[STATE_KEY]["space_id"] = "U3BhY2U6OTk5OnFSd1g="
    began = _clock.monotonic()
    execute(make(name="other", column_name="tone") if change == "name" else make(), instance)
    assert _clock.monotonic() - began < 30


@pytest.mark.usefixtures("_time_flies")
def test_evaluator_deleted_during_outage_is_created_again(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = execute(make(template="{output}?"))
    arize.add_fault(Fault(ADD, "drop_before"))
    sleep = _clock.sleep

    def delete_first(seconds: float) -> None:
        sleep(seconds)
        url = f"{arize.url}/v2/evaluators/{first['evaluator_id']}"
        requests.delete(url, headers={"Authorization": f"Bearer {arize.api_key}"}, timeout=60)

    monkeypatch.setattr(_clock, "sleep", delete_first)
    result = execute(make())
    assert [evaluator["id"] for evaluator in named(arize, "tone")] == [result["evaluator_id"]]
    assert result["evaluator_id"] != first["evaluator_id"]
    assert len(versions(arize, result["evaluator_id"])) == 1


@pytest.mark.usefixtures("_time_flies")
def test_lost_version_of_one_evaluator_is_not_taken_from_another(arize: Emulator, make: Make) -> None:
    # Two evaluators with the same content have the same hash.
    other = execute(make(name="other", column_name="c"))
    arize.add_fault(Fault(CREATE, "drop_after"))
    result = execute(make(column_name="c"))
    assert result["evaluator_id"] != other["evaluator_id"]
    assert len(versions(arize, other["evaluator_id"])) == 1


# Pinned versions and spaces


def test_eval_task_pins_version(arize: Emulator, make: Make) -> None:
    result = execute(make())
    CreateEvalTaskOperator(
        task_id="create",
        name="tone",
        project="support-assistant",
        evaluators={**result, "column_mappings": {"output": "attributes.output.value"}},
    ).execute(TaskInstance().next_try())
    [task] = arize.tasks()
    assert task["evaluators"][0]["evaluator_version_id"] == result["evaluator_version_id"]


def test_space_comes_from_argument_connection_or_project(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = json.loads(arize.connection_json)
    space_id = get(arize, "/v2/spaces")["spaces"][0]["id"]

    def connect(**extra: Any) -> None:
        monkeypatch.setenv(
            "AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", json.dumps({**connection, "extra": extra})
        )

    connect()
    with pytest.raises(InvalidInput):
        execute(make())
    first = execute(make(space_id=space_id))
    for extra in ({"space_id": space_id}, {"model_id": arize.project_id}):
        connect(**extra)
        assert execute(make()) == first


# Arguments


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"template": ...}, "template"),
        ({"code": "x"}, "code"),
        ({"variables": ["a"]}, "variables"),
        ({"llm_config": ...}, "llm_config"),
        ({"classification_choices": ...}, "classification_choices"),
        ({"direction": "up"}, "direction"),
        ({"name": "tone: v1"}, "name"),
        ({"column_name": "a/b"}, "column_name"),
        ({"name": "n" * 256}, "name"),
        ({"template": "Rate {{ output }}"}, "template"),
        ({"commit_message": " "}, "commit_message"),
        ({**dict.fromkeys(EVALUATOR, ...), "llm_config": ..., **CODE, "code": "x = {{ y }}"}, "code"),
        ({**dict.fromkeys(EVALUATOR, ...), "llm_config": ..., **CODE, "variables": []}, "variables"),
        ({**dict.fromkeys(EVALUATOR, ...), **CODE}, "llm_config"),
    ],
)
def test_wrong_literal_is_rejected_at_parse_time(make: Make, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(**changes)
    assert field in str(caught.value)


@pytest.mark.parametrize("name", [name for name in EvaluatorOperator.template_fields if name != "conn_id"])
def test_every_argument_accepts_template(make: Make, name: str) -> None:
    others = {"imports": CODE, "variables": CODE, "query_filter": CODE, "code": CODE}
    cleared = {**dict.fromkeys(EVALUATOR, ...), "llm_config": ...} if name in others else {}
    changes = {**cleared, **others.get(name, {}), name: "{{ params.later }}"}
    assert getattr(make(**changes), name) == "{{ params.later }}"


def test_every_field_of_input_is_argument() -> None:
    assert set(EvaluatorInput.model_fields) - {"jinja"} <= set(EvaluatorOperator.template_fields)
    arguments = inspect.signature(EvaluatorOperator).parameters
    for name, field in EvaluatorInput.model_fields.items():
        assert field.is_required() or arguments[name].default == field.default


def test_long_commit_message_keeps_hash() -> None:
    content = content_hash({"a": 1})
    message = add_hash("m" * 2000, content)
    assert len(message) == 1000
    assert read_hash(message) == content
    assert read_hash("manual") is None
    assert read_hash(add_hash("[content 0123456789abcdef] is quoted", content)) == content
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


@pytest.mark.parametrize("empty", ["None", "", " None\n"])
def test_texts_of_empty_parameters_are_left_out(arize: Emulator, make: Make, empty: str) -> None:
    texts = ("column_name", "description", "commit_message")
    operator = make(**dict.fromkeys(texts, "{{ params.text }}"))
    for name in texts:
        setattr(operator, name, empty)
    execute(operator)
    [evaluator] = named(arize, operator.name)
    [version] = versions(arize, evaluator["id"])
    assert not evaluator["description"]
    assert version["template_config"]["name"] == operator.name
    assert not version["commit_message"].startswith("None")

"""An evaluator of the Eval Hub as the DAG says it: one evaluator, and a version for each content."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_online_tasks import _clock
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.emulator import Fault
from airflow_provider_online_tasks.evaluators.versions import add_hash, content_hash, read_hash
from airflow_provider_online_tasks.exceptions import (
    BadRequest,
    InvalidInput,
    PermissionDenied,
    Unavailable,
)
from airflow_provider_online_tasks.inputs.hub import EvaluatorInput
from airflow_provider_online_tasks.operators.eval_tasks import CreateEvalTaskOperator
from airflow_provider_online_tasks.operators.evaluators import EvaluatorOperator
from tests.support.task_instance import Killed, TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

    Make = Callable[..., EvaluatorOperator]

CREATE, ADD = "rest.create_evaluator", "rest.create_evaluator_version"
JUDGE: dict[str, Any] = {
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
    """Ask the emulator, as someone else would."""
    answer = requests.get(arize.url + path, headers={"Authorization": f"Bearer {arize.api_key}"}, timeout=60)
    answer.raise_for_status()
    return answer.json()


def named(arize: Emulator, name: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = get(arize, "/v2/evaluators?limit=100")["evaluators"]
    return [one for one in listed if one["name"] == name]


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
    """``make(template=…)``: the operator, with the arguments that matter."""

    def make(**arguments: Any) -> EvaluatorOperator:
        fields = {**JUDGE, "llm_config": llm, **arguments}
        return EvaluatorOperator(
            task_id="judge", **{name: one for name, one in fields.items() if one is not ...}
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


def test_it_is_created_with_all_that_the_dag_says(arize: Emulator, make: Make, llm: dict[str, Any]) -> None:
    made = execute(
        make(data_granularity="trace", description="Whether answers are friendly", column_name="tone v1")
    )

    evaluator = get(arize, f"/v2/evaluators/{made['evaluator_id']}")
    assert (evaluator["name"], evaluator["type"]) == ("tone", "TEMPLATE")
    assert evaluator["description"] == "Whether answers are friendly"
    assert evaluator["version"]["id"] == made["evaluator_version_id"]
    assert evaluator["version"]["template_config"] == {
        "name": "tone v1",
        "template": JUDGE["template"],
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


def test_what_the_dag_does_not_say_is_off(arize: Emulator, make: Make) -> None:
    made = execute(make(include_explanations=..., use_function_calling=...))
    config = versions(arize, made["evaluator_id"])[0]["template_config"]
    assert (config["include_explanations"], config["use_function_calling"]) == (False, False)


@pytest.mark.promise("evaluator-versions")
def test_the_same_content_makes_no_second_version_on_any_day(arize: Emulator, make: Make) -> None:
    first = execute(make())
    assert execute(make()) == first
    assert execute(make(commit_message="said in other words")) == first
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
def test_other_content_makes_one_version(arize: Emulator, make: Make, change: dict[str, Any]) -> None:
    first = execute(make())
    second = execute(make(**change))
    assert second["evaluator_id"] == first["evaluator_id"]
    assert second["evaluator_version_id"] != first["evaluator_version_id"]
    assert execute(make(**change)) == second
    assert len(versions(arize, first["evaluator_id"])) == 2


def test_another_model_makes_another_version(arize: Emulator, make: Make, llm: dict[str, Any]) -> None:
    first = execute(make())
    execute(make(llm_config={**llm, "invocation_parameters": {"temperature": 1}}))
    assert len(versions(arize, first["evaluator_id"])) == 2


def test_what_someone_changed_in_arize_is_as_the_dag_says_it_again(arize: Emulator, make: Make) -> None:
    first = execute(make())
    version = versions(arize, first["evaluator_id"])[0]
    answer = requests.post(
        f"{arize.url}/v2/evaluators/{first['evaluator_id']}/versions",
        json={
            "commit_message": "by hand",
            "template_config": {**version["template_config"], "template": "Other: {output}"},
        },
        headers={"Authorization": f"Bearer {arize.api_key}"},
        timeout=60,
    )
    assert answer.status_code == 201

    again = execute(make())

    newest, by_hand, _ = versions(arize, first["evaluator_id"])
    assert newest["id"] == again["evaluator_version_id"]
    assert newest["template_config"]["template"] == JUDGE["template"]
    assert by_hand["commit_message"] == "by hand"


def test_the_newest_version_counts_however_they_are_listed(arize: Emulator, make: Make) -> None:
    execute(make(template="{output}, friendly?"))
    made = execute(make())
    listed = versions(arize, made["evaluator_id"])
    oldest_first = json.dumps({"evaluator_versions": listed[::-1], "pagination": {"has_more": False}})
    arize.add_fault(Fault("rest.list_evaluator_versions", "garbage", body=oldest_first))

    assert execute(make()) == made
    assert versions(arize, made["evaluator_id"]) == listed


def test_an_evaluator_with_code(arize: Emulator, make: Make) -> None:
    arguments = {**dict.fromkeys(JUDGE, ...), "llm_config": ..., **CODE}
    made = execute(make(**arguments, imports="import json"))
    evaluator = get(arize, f"/v2/evaluators/{made['evaluator_id']}")
    assert evaluator["type"] == "CODE"
    config = evaluator["version"]["code_config"]
    assert (config["type"], config["name"], config["code"]) == ("CUSTOM", "has answer", CODE["code"])
    assert (config["variables"], config["imports"]) == (CODE["variables"], "import json")
    assert execute(make(**arguments, imports="import json")) == made


def test_the_type_of_an_evaluator_cannot_change(arize: Emulator, make: Make) -> None:
    execute(make())
    code = {**dict.fromkeys(JUDGE, ...), "llm_config": ..., **CODE, "name": "tone"}
    with pytest.raises(InvalidInput):
        execute(make(**code))
    assert len(named(arize, "tone")) == 1


def test_only_the_exact_name_counts(arize: Emulator, make: Make) -> None:
    execute(make(name="tone of answers"))
    execute(make(name="Tone"))
    made = execute(make())
    assert [one["id"] for one in named(arize, "tone")] == [made["evaluator_id"]]


# Arize's own templates -----------------------------------------------------------------------------------


def test_a_template_of_arizes_own_by_its_name(arize: Emulator, make: Make) -> None:
    [theirs] = [
        one
        for one in get(arize, "/v2/evaluator-templates")["evaluator_templates"]
        if one["column_name"] == "user_frustration"
    ]
    made = execute(
        make(name="frustration", template="user_frustration", classification_choices=..., direction=...)
    )
    config = get(arize, f"/v2/evaluators/{made['evaluator_id']}")["version"]["template_config"]
    for name in ("template", "classification_choices", "direction", "data_granularity"):
        assert config[name] == theirs[name]
    assert config["name"] == "frustration"


def test_a_template_that_arize_does_not_have(make: Make) -> None:
    with pytest.raises(InvalidInput) as caught:
        execute(make(template="halucination", classification_choices=...))
    assert "'hallucination'" in str(caught.value)


@pytest.mark.parametrize("field", ["template", "code"])
def test_what_jinja_would_change_is_refused_unless_its_author_says_so(make: Make, field: str) -> None:
    text = "On {{ ds }}: {output}" if field == "template" else CODE["code"] + "# {{ ds }}"
    fields = {**dict.fromkeys(JUDGE, ...), **CODE, "llm_config": ...} if field == "code" else {}
    with pytest.raises(InvalidInput, match=field):
        make(**{**fields, field: text})
    with pytest.raises(InvalidInput, match=field):
        EvaluatorInput.check_literals({"name": "n", field: text})
    operator = make(**{**fields, field: text, "jinja": True})
    operator.render_template_fields({"ds": "2026-01-01"})
    assert "2026-01-01" in getattr(operator, field)


def test_the_hash_of_a_content_is_the_same_in_every_version_of_the_provider() -> None:
    # Another one would publish each evaluator anew.
    assert content_hash({"template": "{output}, n’est-ce pas ?", "b": 1}) == "ed775254cd366d07"
    assert content_hash({"b": 1, "template": "{output}, n’est-ce pas ?"}) == "ed775254cd366d07"


# Never two ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "status_after"])
@pytest.mark.usefixtures("_time_flies")
def test_an_evaluator_whose_answer_was_lost(arize: Emulator, make: Make, fault: str) -> None:
    arize.add_fault(Fault(CREATE, fault, status=503))
    made = execute(make())
    assert [one["id"] for one in named(arize, "tone")] == [made["evaluator_id"]]
    assert [one["id"] for one in versions(arize, made["evaluator_id"])] == [made["evaluator_version_id"]]


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "status_after"])
@pytest.mark.usefixtures("_time_flies")
def test_a_version_whose_answer_was_lost(arize: Emulator, make: Make, fault: str) -> None:
    execute(make())
    arize.add_fault(Fault(ADD, fault, status=503))
    made = execute(make(template="{output}, friendly?"))
    newest, _ = versions(arize, made["evaluator_id"])
    assert newest["id"] == made["evaluator_version_id"]


@pytest.mark.usefixtures("_time_flies")
def test_a_request_that_was_lost_on_the_way_is_sent_again(arize: Emulator, make: Make) -> None:
    arize.add_fault(Fault(CREATE, "status_before", status=503))
    made = execute(make())
    assert len(versions(arize, made["evaluator_id"])) == 1
    assert len(arize.requests(CREATE)) == 2


@pytest.mark.usefixtures("_time_flies")
def test_a_try_that_could_not_find_out_leaves_it_to_the_next(arize: Emulator, make: Make) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "drop_after"))
    arize.add_fault(Fault("rest.list_evaluators", "status_before", status=503, skip=1, times=None))
    with pytest.raises(Unavailable, match="next try searches"):
        execute(make(), instance)
    arize.clear_faults()

    made = execute(make(), instance)

    assert [one["id"] for one in named(arize, "tone")] == [made["evaluator_id"]]
    assert len(arize.requests(CREATE)) == 1


def test_an_evaluator_that_another_dag_creates_at_the_same_time(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_online_tasks.evaluators.versions import EvaluatorPublication

    request, made = EvaluatorPublication._send_request, []

    def overtaken(self: EvaluatorPublication) -> str:
        monkeypatch.setattr(EvaluatorPublication, "_send_request", request)
        made.append(execute(make()))
        return request(self)

    monkeypatch.setattr(EvaluatorPublication, "_send_request", overtaken)
    assert [execute(make())] == made
    assert len(named(arize, "tone")) == 1


def test_an_evaluator_that_arize_refuses(arize: Emulator, make: Make) -> None:
    arize.add_fault(Fault(CREATE, "status_before", status=400))
    with pytest.raises(BadRequest, match="HTTP 400"):
        execute(make())
    assert named(arize, "tone") == []


@pytest.mark.parametrize("name", ["create_evaluator", "create_evaluator_version"])
@pytest.mark.usefixtures("_time_flies")
def test_where_nothing_is_kept_a_retry_searches_for_what_the_try_before_may_have_made(
    arize: Emulator, make: Make, name: str
) -> None:
    """As before Airflow 3.3: the request of the first try is carried out while the second searches."""
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
        made = execute(make(), instance)

    assert [made] == late
    assert len(arize.requests(f"rest.{name}")) == asked + 1
    assert len(named(arize, "tone")) == 1


@pytest.mark.usefixtures("_time_flies")
def test_where_nothing_is_kept_a_first_try_does_not_search_long(arize: Emulator, make: Make) -> None:
    began = _clock.monotonic()
    execute(make(), TaskInstance(is_kept=False))
    assert _clock.monotonic() - began < 30
    assert len(arize.requests(CREATE)) == 1


@pytest.mark.usefixtures("_time_flies")
def test_where_the_record_is_kept_a_retry_after_a_refusal_does_not_search_long(
    arize: Emulator, make: Make
) -> None:
    instance = TaskInstance()
    arize.add_fault(Fault(CREATE, "forbidden"))
    with pytest.raises(PermissionDenied):
        execute(make(), instance)
    began = _clock.monotonic()
    execute(make(), instance)
    assert _clock.monotonic() - began < 30


@pytest.mark.promise("evaluator-versions")
@pytest.mark.usefixtures("_time_flies")
def test_a_try_that_was_killed_while_it_asked(
    arize: Emulator, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request of the killed try is carried out while the next try searches."""
    instance, held = TaskInstance(), []
    send = Client.send

    def hold(self: Client, call: Any, **kwargs: Any) -> Any:
        if call.name == "create evaluator" and not held:
            held.append(call)
            raise Killed
        return send(self, call, **kwargs)

    monkeypatch.setattr(Client, "send", hold)
    with pytest.raises(Killed):
        execute(make(), instance)

    sleep = _clock.sleep

    def arrive(seconds: float) -> None:
        sleep(seconds)
        if held[0] is not None:
            call, held[0] = held[0], None
            answer = requests.post(
                arize.url + call.path,
                json=call.body,
                headers={"Authorization": f"Bearer {arize.api_key}"},
                timeout=60,
            )
            assert answer.status_code == 201

    monkeypatch.setattr(_clock, "sleep", arrive)
    made = execute(make(), instance)

    assert held == [None], "the request of the killed try came late"
    assert len(versions(arize, made["evaluator_id"])) == 1


# From Git to a pinned run --------------------------------------------------------------------------------


def test_a_task_can_judge_by_the_very_version(arize: Emulator, make: Make) -> None:
    made = execute(make())
    CreateEvalTaskOperator(
        task_id="create",
        name="tone",
        project="support-assistant",
        evaluators={**made, "column_mappings": {"output": "attributes.output.value"}},
    ).execute(TaskInstance().next_try())
    [task] = arize.tasks()
    assert task["evaluators"][0]["evaluator_version_id"] == made["evaluator_version_id"]


def test_the_space_is_that_of_the_argument_the_connection_or_its_project(
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


# Arguments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"template": ...}, "template"),
        ({"code": "x"}, "code"),
        ({"variables": ["a"]}, "variables"),
        ({"llm_config": ...}, "llm_config"),
        ({"classification_choices": ...}, "classification_choices"),
        ({"direction": "up"}, "direction"),
        ({"name": "tone: v1"}, "tone: v1"),
        ({"column_name": "a/b"}, "column_name"),
        ({"name": "n" * 256}, "name"),
        ({"template": "Judge {{ output }}"}, "template"),
        ({"commit_message": " "}, "commit_message is empty"),
        (
            {**dict.fromkeys(JUDGE, ...), "llm_config": ..., **CODE, "code": "x = {{ y }}"},
            "code",
        ),
        ({**dict.fromkeys(JUDGE, ...), "llm_config": ..., **CODE, "variables": []}, "variables"),
        ({**dict.fromkeys(JUDGE, ...), **CODE}, "llm_config"),
    ],
)
def test_a_wrong_literal_is_refused_when_the_dag_is_parsed(
    make: Make, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make(**changes)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", [name for name in EvaluatorOperator.template_fields if name != "conn_id"])
def test_every_argument_takes_a_template(make: Make, name: str) -> None:
    others = {"imports": CODE, "variables": CODE, "query_filter": CODE, "code": CODE}
    cleared = {**dict.fromkeys(JUDGE, ...), "llm_config": ...} if name in others else {}
    changes = {**cleared, **others.get(name, {}), name: "{{ params.later }}"}
    assert getattr(make(**changes), name) == "{{ params.later }}"


def test_every_field_of_the_input_is_an_argument() -> None:
    assert set(EvaluatorInput.model_fields) - {"jinja"} <= set(EvaluatorOperator.template_fields)
    arguments = inspect.signature(EvaluatorOperator).parameters
    for name, field in EvaluatorInput.model_fields.items():
        assert field.is_required() or arguments[name].default == field.default


def test_a_long_message_keeps_its_mark() -> None:
    content = content_hash({"a": 1})
    message = add_hash("m" * 2000, content)
    assert len(message) == 1000
    assert read_hash(message) == content
    assert read_hash("by hand") is None
    assert read_hash(add_hash("[content 0123456789abcdef] is quoted", content)) == content
    assert content_hash({"a": 1, "b": [2]}) == content_hash({"b": [2], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})

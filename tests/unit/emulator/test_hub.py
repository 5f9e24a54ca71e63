"""The Eval Hub over REST: evaluators, versions, templates, and the tasks that use them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.emulator.integrations import INTEGRATIONS
from tests.support.emulator_api import AGENTS, Api

from .test_rest import evaluation_task, problem

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

MAPPINGS = {"input": "attributes.input.value", "output": "attributes.output.value"}


def template_config(**fields: Any) -> dict[str, Any]:
    return {
        "name": "tone",
        "template": "{input} {output}",
        "include_explanations": True,
        "use_function_calling": False,
        "classification_choices": {"rude": 0, "polite": 1},
        "llm_config": llm_config(INTEGRATIONS[0].id),
        **fields,
    }


def llm_config(integration_id: str) -> dict[str, Any]:
    return {
        "ai_integration_id": integration_id,
        "model_name": "gpt-4o",
        "invocation_parameters": {"temperature": 0},
        "provider_parameters": {},
    }


def body(config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    version = {"commit_message": "First", "template_config": config or template_config()}
    return {"name": "Tone", "type": "TEMPLATE", "version": version, **fields}


def create(api: Api, config: dict[str, Any] | None = None, **fields: Any) -> Any:
    given = {"space_id": api.emulator.info()["space_id"], **body(config, **fields)}
    response = api.rest("POST", "evaluators", json=given)
    assert response.status_code == 201, response.text
    return response.json()


def test_evaluator_is_created_read_found_and_deleted(api: Api) -> None:
    created = create(api, description="How it sounds")
    version = created["version"]
    assert (created["name"], created["type"], created["description"]) == ("Tone", "TEMPLATE", "How it sounds")
    assert version["evaluator_id"] == created["id"]
    assert version["template_config"]["data_granularity"] == "SPAN"
    assert version["template_config"]["direction"] == "MAXIMIZE"
    path = f"evaluators/{created['id']}"
    assert api.rest("GET", path).json() == created
    [found] = api.rest("GET", "evaluators?name=TONE").json()["evaluators"]
    assert found == {name: value for name, value in created.items() if name != "version"}
    assert api.rest("DELETE", path).status_code == 204
    assert problem(api.rest("GET", path), 404)


def test_older_field_name_is_accepted(api: Api) -> None:
    config = template_config(use_function_calling_if_available=True)
    del config["use_function_calling"]
    assert create(api, config)["version"]["template_config"]["use_function_calling"] is True


def test_versions_are_added_listed_and_read(api: Api) -> None:
    created = create(api)
    path = f"evaluators/{created['id']}/versions"
    second = {"commit_message": "Shorter", "template_config": template_config(template="{output}")}
    added = api.rest("POST", path, json=second)
    assert added.status_code == 201
    version = added.json()
    assert version["commit_hash"] != created["version"]["commit_hash"]
    listed = api.rest("GET", path).json()["evaluator_versions"]
    assert listed == [version, created["version"]]
    assert api.rest("GET", f"evaluator-versions/{version['id']}").json() == version
    newest = api.rest("GET", f"evaluators/{created['id']}").json()
    assert newest["version"] == version
    first = created["version"]["id"]
    pinned = api.rest("GET", f"evaluators/{created['id']}?version_id={first}").json()
    assert pinned["version"] == created["version"]


def test_run_uses_the_newest_or_the_pinned_version(api: Api, emulator: Emulator) -> None:
    created = create(api)

    def run(name: str, **attachment: Any) -> dict[str, Any]:
        evaluator = {"evaluator_id": created["id"], "column_mappings": MAPPINGS, **attachment}
        task = evaluation_task(emulator, name=name, query_filter=AGENTS, evaluators=[evaluator])
        task_id = api.rest("POST", "tasks", json=task).json()["id"]
        return api.read(api.run(task_id, overrideEvaluations=True))

    assert run("before")["num_successes"] > 50
    second = {"commit_message": "Needs more", "template_config": template_config(template="{reference}")}
    api.rest("POST", f"evaluators/{created['id']}/versions", json=second)
    assert run("newest")["num_successes"] == 0
    assert run("pinned", evaluator_version_id=created["version"]["id"])["num_successes"] > 50
    evaluations = emulator.evaluations()
    assert {each["name"] for each in evaluations} == {"tone"}
    assert {each["metadata"]["evaluator_id"] for each in evaluations} == {created["id"]}


def test_existing_task_uses_a_new_version(api: Api, emulator: Emulator) -> None:
    created = create(api, template_config(template="{no_mapping}"))
    evaluator = {"evaluator_id": created["id"], "column_mappings": MAPPINGS}
    task = evaluation_task(emulator, query_filter=AGENTS, evaluators=[evaluator])
    task_id = api.rest("POST", "tasks", json=task).json()["id"]
    assert api.read(api.run(task_id))["num_successes"] == 0
    version = {"commit_message": "Mapped", "template_config": template_config()}
    api.rest("POST", f"evaluators/{created['id']}/versions", json=version)
    assert api.read(api.run(task_id))["num_successes"] > 50


def attach(api: Api, evaluator_id: str, **fields: Any) -> str:
    """Create a task with an evaluator and return its ID."""
    attached = {"evaluator_id": evaluator_id, "column_mappings": MAPPINGS, **fields}
    task = evaluation_task(api.emulator, query_filter=AGENTS, evaluators=[attached])  # type: ignore[arg-type]
    task_id: str = api.rest("POST", "tasks", json=task).json()["id"]
    return task_id


def test_delete_evaluator_in_use_conflicts_until_task_deleted(api: Api) -> None:
    created = create(api)
    path = f"evaluators/{created['id']}"
    task_id = attach(api, created["id"])
    assert "nightly" in problem(api.rest("DELETE", path), 409)
    assert api.read(api.run(task_id))["num_successes"] > 50
    api.rest("DELETE", f"tasks/{task_id}")
    assert api.rest("DELETE", path).status_code == 204
    assert problem(api.rest("GET", path), 404)


def test_deleting_all_versions_conflicts_and_deletes_nothing(api: Api) -> None:
    created = create(api)
    path = f"evaluators/{created['id']}/versions"
    second = {"commit_message": "Second", "template_config": template_config(template="{output}")}
    version_ids = [created["version"]["id"], api.rest("POST", path, json=second).json()["id"]]
    assert problem(api.rest("DELETE", path, json={"version_ids": version_ids}), 409)
    assert len(api.rest("GET", path).json()["evaluator_versions"]) == 2
    for wrong in ([], ["nope"], version_ids * 51):
        assert problem(api.rest("DELETE", path, json={"version_ids": wrong}), 400)


def test_deleting_a_pinned_version_makes_its_task_use_the_newest(api: Api) -> None:
    created = create(api)
    path = f"evaluators/{created['id']}/versions"
    first = created["version"]["id"]
    task_id = attach(api, created["id"], evaluator_version_id=first)
    second = {"commit_message": "Needs more", "template_config": template_config(template="{no_mapping}")}
    api.rest("POST", path, json=second)
    unknown = "RXZhbHVhdG9yVmVyc2lvbjo5OTk5OnFSd1g="
    deleted = api.rest("DELETE", path, json={"version_ids": [first, first, unknown]}).json()
    assert deleted == {
        "completed": True,
        "deleted_version_ids": [first],
        "not_deleted_version_ids": [unknown],
    }
    [attached] = api.rest("GET", f"tasks/{task_id}").json()["evaluators"]
    assert attached["evaluator_version_id"] is None
    assert api.read(api.run(task_id))["num_successes"] == 0


def test_evaluators_are_listed_by_update_newest_first(api: Api) -> None:
    first, second = create(api, name="first"), create(api, name="second")

    def names(path: str) -> list[str]:
        return [each["name"] for each in api.rest("GET", path).json()["evaluators"]][:2]

    assert names("evaluators") == ["second", "first"]
    for name, evaluator in (("first", first), ("second", second)):
        version = {"commit_message": "Second", "template_config": template_config(template="{output}")}
        api.rest("POST", f"evaluators/{evaluator['id']}/versions", json=version)
        assert names("evaluators")[0] == name
    page = api.rest("GET", "evaluators?limit=1").json()
    cursor = page["pagination"]["next_cursor"]
    following = api.rest("GET", f"evaluators?limit=1&cursor={cursor}").json()
    assert [each["name"] for each in page["evaluators"] + following["evaluators"]] == ["second", "first"]


def test_each_evaluator_has_its_own_filter(api: Api, emulator: Emulator) -> None:
    created = create(api)
    evaluator = {
        "evaluator_id": created["id"],
        "column_mappings": MAPPINGS,
        "query_filter": "status_code = 'ERROR'",
    }
    task = evaluation_task(emulator, query_filter=AGENTS, evaluators=[evaluator])
    task_id = api.rest("POST", "tasks", json=task).json()["id"]
    api.read(api.run(task_id))
    judged = {each["span_id"] for each in emulator.evaluations()}
    both = {"project_id": emulator.project_id, "filter": f"{AGENTS} AND status_code = 'ERROR'"}
    spans = api.rest("POST", "spans?limit=500", json=both).json()["spans"]
    assert 0 < len(judged) <= len(spans)
    assert judged <= {span["context"]["span_id"] for span in spans}


def test_code_evaluators_have_versions(api: Api, emulator: Emulator) -> None:
    config = {
        "type": "MANAGED",
        "name": "is json",
        "managed_evaluator": "JSON_PARSEABLE",
        "variables": ["attributes.output.value"],
    }
    version = {"commit_message": "First", "code_config": config}
    created = create(api, name="Json", type="CODE", version=version)
    assert created["version"]["code_config"]["managed_evaluator"] == "JSON_PARSEABLE"
    task = evaluation_task(
        emulator,
        type="CODE_EVALUATION",
        query_filter="attributes.output.value != null",
        evaluators=[{"evaluator_id": created["id"]}],
    )
    task_id = api.rest("POST", "tasks", json=task).json()["id"]
    run = api.read(api.run(task_id))
    assert (run["num_successes"] > 50, run["num_errors"], run["num_skipped"]) == (True, 0, 0)


CHECK = {"type": "MANAGED", "name": "is json", "managed_evaluator": "JSON_PARSEABLE"}
INVALID: list[tuple[dict[str, Any], int]] = [
    ({"name": ""}, 422),
    ({"name": "x" * 256}, 422),
    ({"name": "correctness"}, 422),
    ({"type": "MAGIC"}, 422),
    ({"type": "HARNESS"}, 422),
    ({"space_id": "U3BhY2U6OTk6cVJ3WA=="}, 404),
    ({"version": None}, 422),
    ({"version": {"commit_message": "", "template_config": template_config()}}, 422),
    ({"version": {"commit_message": "x" * 1001, "template_config": template_config()}}, 422),
    (body(template_config(name="a.b")), 422),
    (body(template_config(classification_choices={"a": "b"})), 422),
    (body(template_config(llm_config=None)), 422),
    (body(template_config(direction="UP")), 422),
    (body(template_config(data_granularity="span")), 422),
    (body(template_config(colour="red")), 422),
    (body(template_config(llm_config=llm_config("TGxtSW50ZWdyYXRpb246OTk6cVJ3WA=="))), 404),
    (body(template_config(llm_config=llm_config("nope"))), 400),
    (body(type="CODE"), 422),
    ({"type": "CODE", "version": {"commit_message": "x", "code_config": {**CHECK, "variables": [{}]}}}, 422),
]


def test_invalid_evaluator_is_rejected(api: Api, emulator: Emulator) -> None:
    for fields, status in INVALID:
        given = {"space_id": emulator.space_id, **body(), **fields}
        assert problem(api.rest("POST", "evaluators", json=given), status), fields
    assert len(emulator.evaluator_ids) == 6


def test_templates_are_listed(api: Api, emulator: Emulator) -> None:
    templates = api.rest("GET", "evaluator-templates").json()["evaluator_templates"]
    assert "hallucination" in {each["column_name"] for each in templates}
    for number, each in enumerate(templates):
        assert each["rails"] == list(each["classification_choices"])
        fields = ("template", "classification_choices", "direction", "data_granularity")
        create(api, template_config(**{name: each[name] for name in fields}), name=f"copy {number}")


def test_ai_integration_is_found_by_id(api: Api) -> None:
    found = api.rest("GET", "ai-integrations").json()["ai_integrations"]
    assert {"OPEN_AI", "ANTHROPIC", "AWS_BEDROCK", "VERTEX_AI"} <= {each["provider"] for each in found}
    # Older releases of Arize's SDK need these.
    assert (found[0]["auth_type"], found[0]["scopings"]) == ("DEFAULT", [])
    named = api.rest("GET", "ai-integrations?name=bedrock").json()["ai_integrations"]
    assert [each["provider"] for each in named] == ["AWS_BEDROCK"]


def test_reset_keeps_the_ids_of_built_in_evaluators(api: Api, emulator: Emulator) -> None:
    before = emulator.evaluator_ids
    create(api)
    emulator.reset()
    assert emulator.evaluator_ids == before


def test_reset_stamps_built_in_evaluators_with_the_actual_time(api: Api, emulator: Emulator) -> None:
    emulator.set_clock_offset(3600)
    emulator.reset()
    found = api.rest("GET", "evaluators").json()["evaluators"]
    assert found
    assert all(parse_time(each["created_at"], "") <= datetime.now(UTC) for each in found)

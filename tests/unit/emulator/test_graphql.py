"""The GraphQL API: the documents of Arize's page verbatim, and how invalid requests are rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.emulator_api import (
    AGENTS,
    CREATE,
    LLM,
    PATCH,
    RUN,
    Api,
    days_ago,
    template_evaluator,
)

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator

SEED_CREATE = """
mutation CreateOnlineEvalTask {
  createEvalTask(input: {
    modelId: "MODEL_ID"            # Your model's ID
    samplingRate: 100              # Desired sampling rate for task
    queryFilter: "attributes.openinference.span.kind = 'AGENT'"  # Filter to define the task scope
    name: "test"                   # Name of the evaluation task
    templateEvaluators: {
      name: "test evaluator",       # Column name for the evaluator
      rails: ["incorrect","correct"], # Output labels for evaluation
      template: "template",         # Template for the evaluation
      position: 1,
      includeExplanations: true,    # Include explanations in the results
      useFunctionCallingIfAvailable: false
    }
    runContinuously: true
    llmConfig: {
      modelName: GPT_4o,            # LLM Model name
      provider: openAI,             # LLM provider
      temperature: 0                # Temperature for generation
    }
  }) {
    evalTask {
      name
      samplingRate
      queryFilter
    }
  }
}
"""

SEED_PATCH = """
mutation UpdateOnlineEvalTask {
  patchEvalTask(input: {
    onlineTaskId: "TASK_ID"         # The unique identifier for your task
    samplingRate: 100               # Updated sampling rate
    queryFilter: "attributes.openinference.span.kind = 'LLM'"  # Updated filter
    name: "test"                    # Updated task name
  }) {
    evalTask {
      name
      samplingRate
      filters {
        dimension {
          id
          name
        }
        operator
      }
      queryFilter
    }
  }
}
"""

# The page forgets the brace that closes the input.
SEED_RUN = """
mutation RunOnlineTask {
  runOnlineTask(
    input: {
      onlineTaskId: "TASK_ID",                   # The unique identifier for your task
      dataStartTime: "2024-10-08T00:01:41.644Z", # start time for your data
      dataEndTime: "2024-12-07T01:01:41.644Z",   # end time of your data
      maxSpans: 100                              # the maximum number of spans
    }
  ) {
    result {
      ... on CreateTaskRunResponse {
        runId
      }
      ... on TaskError {
        message
        code
      }
    }
  }
}
"""


@pytest.mark.online_tasks_emulator(sampling_rate_unit="percent")
def test_documented_graphql_examples_run_unchanged(api: Api, emulator: Emulator) -> None:
    created = api.graphql(SEED_CREATE.replace("MODEL_ID", emulator.project_id))
    assert created.json() == {
        "data": {"createEvalTask": {"evalTask": {"name": "test", "samplingRate": 100, "queryFilter": AGENTS}}}
    }
    (task,) = emulator.tasks()
    assert task["is_continuous"]
    assert task["sampling_rate"] == 1
    assert [each["rails"] for each in task["evaluators"]] == [["incorrect", "correct"]]

    patched = api.graphql(SEED_PATCH.replace("TASK_ID", task["id"])).json()["data"]["patchEvalTask"][
        "evalTask"
    ]
    assert patched["queryFilter"] == "attributes.openinference.span.kind = 'LLM'"
    (shown,) = patched["filters"]
    assert shown["dimension"]["name"] == "attributes.openinference.span.kind"
    assert shown["operator"] == "equals"

    started = api.graphql(SEED_RUN.replace("TASK_ID", task["id"])).json()["data"]["runOnlineTask"]["result"]
    run = api.read(started["runId"])
    assert (run["status"], api.counts(run["id"])) == ("COMPLETED", (0, 0, 0))
    assert run["data_start_time"] == "2024-10-08T00:01:41.644Z"
    assert run["data_end_time"] == "2024-12-07T01:01:41.644Z"
    assert emulator.runs()[0]["max_spans"] == 100


def test_variables_accept_enum_strings_and_single_objects_for_lists(api: Api) -> None:
    answer = api.graphql(
        CREATE,
        input={
            "name": "one",
            "modelId": api.emulator.info()["project_id"],
            "templateEvaluators": template_evaluator(
                rails=None, classificationChoices={"bad": 0, "good": 1}, direction="maximize"
            ),
            "llmConfig": {**LLM, "invocationParameters": {"top_p": 1}},
        },
    ).json()
    assert answer["data"]["createEvalTask"]["evalTask"]["name"] == "one"
    (task,) = api.emulator.tasks()
    assert task["evaluators"][0]["rails"] == ["bad", "good"]
    assert task["sampling_rate"] == 1


def test_create_accepts_eval_hub_and_code_evaluators(api: Api, emulator: Emulator) -> None:
    hub = {"evaluatorId": emulator.evaluator_ids["correctness"], "position": 0}
    api.create(name="hub", templateEvaluators=None, llmConfig=None, evaluators=[hub])
    code = {
        "name": "is json",
        "position": 0,
        "evaluationClass": "JSONParseable",
        "spanAttributes": ["attributes.output.value"],
        "evaluationInputParams": {},
    }
    run_id = api.run(api.create(name="code", templateEvaluators=None, llmConfig=None, codeEvaluators=[code]))
    run = api.read(run_id)
    assert (run["num_successes"] > 50, run["num_errors"]) == (True, 0)
    evaluations = emulator.evaluations(run_id=run_id)
    assert {(each["name"], each["label"]) for each in evaluations} == {("is json", "fail")}


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "BAD_USER_INPUT"),
    ({"samplingRate": 100}, "BAD_USER_INPUT"),
    ({"samplingRate": -0.1}, "BAD_USER_INPUT"),
    ({"modelId": "TW9kZWw6OTk6cVJ3WA=="}, "NOT_FOUND"),
    ({"queryFilter": "attributes.x = = 'y'"}, "BAD_USER_INPUT"),
    ({"llmConfig": None}, "BAD_USER_INPUT"),
    ({"templateEvaluators": []}, "BAD_USER_INPUT"),
    ({"templateEvaluators": [template_evaluator(rails=["good"])]}, "BAD_USER_INPUT"),
    ({"templateEvaluators": [template_evaluator(rails=["a", "b", "a"])]}, "BAD_USER_INPUT"),
    ({"templateEvaluators": [template_evaluator(template="")]}, "BAD_USER_INPUT"),
    ({"templateEvaluators": [template_evaluator(classificationChoices={"a": "x"})]}, "BAD_USER_INPUT"),
    ({"templateEvaluators": [template_evaluator(classificationChoices={"a": None})]}, "BAD_USER_INPUT"),
    ({"templateEvaluators": [template_evaluator(name="")]}, "BAD_USER_INPUT"),
    ({"templateEvaluators": [template_evaluator(), template_evaluator()]}, "BAD_USER_INPUT"),
    ({"evaluators": [{"evaluatorId": "RXZhbHVhdG9yOjE6cVJ3WA=="}]}, "BAD_USER_INPUT"),
    ({"evaluators": [{"evaluatorId": "nope"}]}, "NOT_FOUND"),
    ({"llmConfig": {"modelName": "gpt-4o"}}, "BAD_USER_INPUT"),
    ({"llmConfig": {"modelName": 4}}, "BAD_USER_INPUT"),
    ({"llmConfig": {**LLM, "invocationParameters": "x"}}, "BAD_USER_INPUT"),
    ({"colour": "red"}, "BAD_USER_INPUT"),
]


def test_invalid_task_is_rejected_with_a_code(api: Api) -> None:
    given = {
        "name": "nightly",
        "modelId": api.emulator.info()["project_id"],
        "templateEvaluators": [template_evaluator()],
        "llmConfig": LLM,
    }
    for fields, code in INVALID:
        (error,) = api.graphql(CREATE, input=given | fields).json()["errors"]
        assert error["extensions"]["code"] == code, fields
    assert api.emulator.tasks() == []


def test_task_name_is_unique_per_model(api: Api) -> None:
    api.create(name="one")
    two = api.create(name="two")
    again = api.graphql(PATCH, input={"onlineTaskId": two, "name": "one"}).json()
    assert again["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert [task["name"] for task in api.emulator.tasks()] == ["one", "two"]
    same = api.graphql(PATCH, input={"onlineTaskId": two, "name": "two"}).json()
    assert same["data"]["patchEvalTask"]["evalTask"]["name"] == "two"


def test_patch_changes_given_fields_and_null_clears_the_filter(api: Api, emulator: Emulator) -> None:
    task_id = api.create(runContinuously=True)
    api.graphql(PATCH, input={"onlineTaskId": task_id, "samplingRate": 0.5})
    (task,) = emulator.tasks()
    assert (task["sampling_rate"], task["query_filter"], task["is_continuous"]) == (0.5, AGENTS, True)
    api.graphql(PATCH, input={"onlineTaskId": task_id, "queryFilter": None, "runContinuously": False})
    (task,) = emulator.tasks()
    assert (task["query_filter"], task["is_continuous"]) == (None, False)
    # The task has its LLM configuration already, so a new evaluator needs none.
    patch = {"onlineTaskId": task_id, "templateEvaluators": [template_evaluator("tone")]}
    assert "errors" not in api.graphql(PATCH, input=patch).json()
    assert [each["name"] for each in emulator.tasks()[0]["evaluators"]] == ["tone"]


def test_patch_of_unknown_task_is_rejected(api: Api) -> None:
    answer = api.graphql(PATCH, input={"onlineTaskId": "T25saW5lVGFzazo5OnFSd1g=", "name": "x"}).json()
    assert answer["data"] == {"patchEvalTask": None}
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"onlineTaskId": "T25saW5lVGFzazo5OnFSd1g="}, "NOT_FOUND"),
        (
            {"dataStartTime": "2026-02-02T00:00:00Z", "dataEndTime": "2026-02-01T00:00:00Z"},
            "INVALID_ARGUMENT",
        ),
        (
            {"dataStartTime": "2026-02-02T00:00:00Z", "dataEndTime": "2026-02-02T00:00:00Z"},
            "INVALID_ARGUMENT",
        ),
        ({"dataStartTime": None}, "INVALID_ARGUMENT"),
    ],
)
def test_run_that_cannot_start_returns_a_task_error(api: Api, fields: dict[str, Any], code: str) -> None:
    result = api.start(api.create(), **fields)
    assert (result["__typename"], result["code"]) == ("TaskError", code)
    assert result["message"]
    assert api.emulator.runs() == []


@pytest.mark.online_tasks_emulator(graphql_max_window_days=30)
def test_longest_window_can_be_limited(api: Api) -> None:
    result = api.start(api.create(), dataStartTime=days_ago(31), dataEndTime=days_ago(0))
    assert result["code"] == "INVALID_ARGUMENT"
    assert api.start(api.create(name="other"), dataStartTime=days_ago(29), dataEndTime=days_ago(0))["runId"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataStartTime", "2026-02-02"),
        ("dataStartTime", "2026-02-02T00:00:00"),
        ("dataEndTime", "yesterday"),
        ("dataEndTime", 5),
        ("maxSpans", 0),
    ],
)
def test_run_with_an_invalid_value_is_a_graphql_error(api: Api, field: str, value: object) -> None:
    given = {"onlineTaskId": api.create(), "dataStartTime": days_ago(2), "dataEndTime": days_ago(1)}
    answer = api.graphql(RUN, input=given | {field: value}).json()
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert api.emulator.runs() == []


def test_second_run_without_a_start_continues_from_the_first(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    first = api.read(api.run(task_id))
    second = api.read(api.run(task_id, dataStartTime=None, dataEndTime=None))
    assert second["data_start_time"] == first["created_at"]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_wrong_key_gets_401_and_executes_nothing(api: Api, emulator: Emulator, key: str) -> None:
    response = api.graphql(CREATE, key=key, input={})
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    (seen,) = emulator.requests()
    assert (seen["key_ok"], seen["executed"], seen["status"]) == (False, False, 401)


@pytest.mark.online_tasks_emulator(mutations_permitted=False)
def test_mutations_not_permitted_are_rejected(api: Api) -> None:
    answer = api.graphql(CREATE, input={}).json()
    message = "GraphQL Mutation access is only available for enterprise accounts"
    assert answer["errors"][0]["message"] == message
    assert "errors" not in api.graphql("{ viewer { id } }").json()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ viewer { id }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: Nope!) { node(id: $id) { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("mutation { ...f } fragment f on Mutation { nothing }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_invalid_document_gets_400(api: Api, query: str, code: str) -> None:
    response = api.graphql(query)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == code


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"query": 5}'])
def test_invalid_body_gets_400(emulator: Emulator, body: bytes) -> None:
    headers = {"x-api-key": emulator.api_key, "content-type": "application/json"}
    response = requests.post(f"{emulator.url}/graphql", data=body, headers=headers, timeout=60)
    assert response.status_code == 400
    assert response.json()["errors"]


def test_enum_written_as_string_in_a_document_is_rejected(api: Api, emulator: Emulator) -> None:
    document = SEED_CREATE.replace("MODEL_ID", emulator.project_id).replace("GPT_4o,", '"GPT_4o",')
    assert api.graphql(document).json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert emulator.tasks() == []


def test_operation_name_selects_the_operation(emulator: Emulator) -> None:
    body = {"query": "query A { viewer { id } } query B { viewer { __typename } }", "operationName": "B"}
    headers = {"x-api-key": emulator.api_key}
    answer = requests.post(f"{emulator.url}/graphql", json=body, headers=headers, timeout=60).json()
    assert answer == {"data": {"viewer": {"__typename": "Viewer"}}}


def test_nodes_are_found_by_id(api: Api, emulator: Emulator) -> None:
    task_id = api.create()
    run_id = api.run(task_id)
    types = {
        task_id: "OnlineTask",
        run_id: "TaskRun",
        emulator.project_id: "Model",
        emulator.space_id: "Space",
        emulator.organization_id: "AccountOrganization",
        emulator.evaluator_ids["correctness"]: "Evaluator",
    }
    for node_id, type_name in types.items():
        node = api.graphql("query ($id: ID!) { node(id: $id) { __typename id } }", id=node_id).json()
        assert node == {"data": {"node": {"__typename": type_name, "id": node_id}}}
    for unknown in ("nope", "VGFza1J1bjo5OTpxUndY"):
        node = api.graphql("query ($id: ID!) { node(id: $id) { id } }", id=unknown).json()
        assert node == {"data": {"node": None}}
    found = api.graphql(
        """query ($search: String, $exact: Boolean) { viewer { spaces(search: "space", first: 5) { edges {
           node { id models(search: $search, useExactSearchMatch: $exact, first: 20) { edges {
           node { id name } } } } } } } }""",
        search="support",
        exact=False,
    ).json()["data"]["viewer"]["spaces"]["edges"][0]["node"]
    assert found["id"] == emulator.space_id
    assert [edge["node"]["id"] for edge in found["models"]["edges"]] == [emulator.project_id]
    exact = api.graphql(
        'query ($id: ID!) { node(id: $id) { ... on Space { models(search: "supp", useExactSearchMatch: true)'
        " { edges { node { id } } } } } }",
        id=emulator.space_id,
    ).json()
    assert exact == {"data": {"node": {"models": {"edges": []}}}}


@pytest.mark.online_tasks_emulator(patch_input_type="PatchOnlineTaskInput")
def test_schema_shows_the_name_of_the_patch_input_type(api: Api) -> None:
    task_id = api.create()
    refused = api.graphql(PATCH, input={"onlineTaskId": task_id, "name": "x"})
    assert refused.status_code == 400
    message = refused.json()["errors"][0]["message"]
    assert message.startswith("Unknown type")
    assert "PatchEvalTaskMutationInput" in message
    fields = api.graphql(
        '{ __type(name: "Mutation") { fields { name args { name type { name ofType { name } } } } } }'
    ).json()["data"]["__type"]["fields"]
    types = {field["name"]: field["args"][0]["type"]["ofType"]["name"] for field in fields}
    assert types["patchEvalTask"] == "PatchOnlineTaskInput"
    renamed = PATCH.replace("PatchEvalTaskMutationInput", types["patchEvalTask"])
    assert "errors" not in api.graphql(renamed, input={"onlineTaskId": task_id, "name": "x"}).json()

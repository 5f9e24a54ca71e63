"""The queries with which a client of GraphQL finds its way: organizations, spaces, models, evaluators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator
    from tests.support.emulator_api import Api

ORGANIZATIONS = """query ($cursor: String) { account { organizations(first: 10, after: $cursor) {
  pageInfo { hasNextPage endCursor } edges { node { id name createdAt description } } } } }"""
SPACES = """query ($id: ID!) { node(id: $id) { ... on AccountOrganization { spaces(first: 10) {
  pageInfo { hasNextPage endCursor } edges { node { id name createdAt description private } } } } } }"""
MODELS = """query ($id: ID!, $cursor: String, $first: Int) { node(id: $id) { ... on Space {
  models(first: $first, after: $cursor) { pageInfo { hasNextPage endCursor }
  edges { node { id name modelType createdAt isDemoModel } } } } } }"""
EVALUATOR = """id name description taskType commitHash commitMessage tags createdAt updatedAt
  createdBy { id name email }"""
EVALUATORS = f"""query ($id: ID!, $search: String, $name: String, $taskType: OnlineTaskType) {{
  node(id: $id) {{ ... on Space {{ evaluators(first: 50, search: $search, name: $name, taskType: $taskType) {{
  pageInfo {{ hasNextPage }} edges {{ node {{ {EVALUATOR} }} }} }} }} }} }}"""
INTEGRATIONS = """query ($id: ID!) { node(id: $id) { ... on Space { llmIntegrations { id name provider
  hasApiKey baseUrl modelNames enableDefaultModels functionCallingEnabled createdAt updatedAt
  creator { id name email } } } } }"""


def ask(api: Api, query: str, **variables: Any) -> Any:
    answer = api.graphql(query, **variables).json()
    assert "errors" not in answer, answer
    return answer["data"]


def nodes(connection: Any) -> list[Any]:
    return [edge["node"] for edge in connection["edges"]]


def test_organizations_list_spaces_and_models(api: Api, emulator: Emulator) -> None:
    [organization] = nodes(ask(api, ORGANIZATIONS)["account"]["organizations"])
    assert organization["id"] == emulator.organization_id
    [space] = nodes(ask(api, SPACES, id=organization["id"])["node"]["spaces"])
    assert (space["id"], space["private"]) == (emulator.space_id, False)
    models = nodes(ask(api, MODELS, id=space["id"], first=10)["node"]["models"])
    assert {each["id"] for each in models} == set(emulator.info()["projects"].values())
    assert {each["modelType"] for each in models} == {"generative_llm"}


def test_connection_returns_pages(api: Api, emulator: Emulator) -> None:
    first = ask(api, MODELS, id=emulator.space_id, first=1)["node"]["models"]
    assert first["pageInfo"]["hasNextPage"]
    cursor = first["pageInfo"]["endCursor"]
    second = ask(api, MODELS, id=emulator.space_id, first=1, cursor=cursor)["node"]["models"]
    assert second["pageInfo"] == {"hasNextPage": False, "endCursor": None}
    assert [each["name"] for each in nodes(first) + nodes(second)] == list(emulator.info()["projects"])


@pytest.mark.parametrize("variables", [{"first": 0}, {"cursor": "nonsense"}])
def test_invalid_page_is_rejected(api: Api, emulator: Emulator, variables: Any) -> None:
    answer = api.graphql(MODELS, id=emulator.space_id, **variables).json()
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_evaluators_are_found_by_name_and_type(api: Api, emulator: Emulator) -> None:
    def found(**wanted: Any) -> set[str]:
        return {
            each["name"]
            for each in nodes(ask(api, EVALUATORS, id=emulator.space_id, **wanted)["node"]["evaluators"])
        }

    assert found() == set(emulator.evaluator_ids)
    assert found(search="CORRECT") == found(name="correctness") == {"correctness"}
    assert found(name="correct") == set()
    assert found(taskType="code_evaluation") == {"output_present", "json_parseable"}
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on Evaluator {{ {EVALUATOR} }} }} }}"
    evaluator = ask(api, query, id=emulator.evaluator_ids["correctness"])["node"]
    assert (evaluator["taskType"], evaluator["commitMessage"]) == ("template_evaluation", "Built in")


def test_space_lists_its_integrations(api: Api, emulator: Emulator) -> None:
    found = ask(api, INTEGRATIONS, id=emulator.space_id)["node"]["llmIntegrations"]
    assert {"openAI", "anthropic"} <= {each["provider"] for each in found}


def test_cursor_of_another_connection_is_rejected(api: Api) -> None:
    query = """query ($models: String, $evaluators: String) { viewer { spaces { edges { node {
      models(first: 1, after: $models) { edges { node { id } } pageInfo { endCursor } }
      evaluators(first: 1, after: $evaluators) { edges { node { id } } pageInfo { endCursor } } } } } } }"""
    [space] = api.graphql(query).json()["data"]["viewer"]["spaces"]["edges"]
    cursors = {name: space["node"][name]["pageInfo"]["endCursor"] for name in ("models", "evaluators")}
    assert "errors" not in api.graphql(query, **cursors).json()
    swapped = {"models": cursors["evaluators"], "evaluators": cursors["models"]}
    assert len(api.graphql(query, **swapped).json()["errors"]) >= 1

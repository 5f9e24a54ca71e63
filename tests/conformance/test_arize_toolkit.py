"""arize-toolkit, a client of the GraphQL API, finds its way around the emulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from arize_toolkit import Client
from arize_toolkit.exceptions import ArizeAPIException

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorProcess

pytestmark = pytest.mark.conformance


@pytest.fixture
def toolkit(emulator: EmulatorProcess) -> Client:
    return Client(
        arize_developer_key=emulator.api_key,
        arize_app_url=emulator.url,
        space="Emulated space",
        organization="Emulated organization",
    )


def test_ids_are_found_by_name(toolkit: Client, emulator: EmulatorProcess) -> None:
    assert (toolkit.org_id, toolkit.space_id) == (emulator.organization_id, emulator.space_id)
    assert [each["id"] for each in toolkit.get_all_organizations()] == [emulator.organization_id]
    assert [each["id"] for each in toolkit.get_all_spaces()] == [emulator.space_id]
    assert toolkit.get_space("Emulated space")["id"] == emulator.space_id


def test_models(toolkit: Client, emulator: EmulatorProcess) -> None:
    assert {each["name"]: each["id"] for each in toolkit.get_all_models()} == emulator.info()["projects"]
    assert toolkit.get_model("support-assistant")["id"] == emulator.project_id
    assert toolkit.get_model_by_id(emulator.project_id)["name"] == "support-assistant"
    assert toolkit.model_url(emulator.project_id).startswith(emulator.url)


def test_evaluators(toolkit: Client, emulator: EmulatorProcess) -> None:
    assert {each["name"]: each["id"] for each in toolkit.get_evaluators()} == emulator.evaluator_ids
    code = toolkit.get_evaluators(task_type="code_evaluation")
    assert {each["name"] for each in code} == {"output_present", "json_parseable"}
    found = toolkit.get_evaluator("correctness")
    assert found["id"] == emulator.evaluator_ids["correctness"]
    assert toolkit.get_evaluator_by_id(found["id"])["name"] == "correctness"
    with pytest.raises(ArizeAPIException):
        toolkit.get_evaluator("nothing")

"""The provider's metadata, as Airflow's own schemas and its ProvidersManager read it."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from importlib.metadata import entry_points, version
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.triggers.base import BaseTrigger

import airflow_provider_online_tasks
import airflow_provider_online_tasks as front_door
from airflow_provider_online_tasks._airflow import BaseHook
from airflow_provider_online_tasks.api.settings import EXTRA_FIELDS, Settings
from airflow_provider_online_tasks.get_provider_info import get_provider_info
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

PACKAGE = "airflow-provider-online-tasks"
KINDS: dict[str, type] = {
    "operators": BaseOperator,
    "sensors": BaseOperator,
    "hooks": BaseHook,
    "triggers": BaseTrigger,
}
INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]


def airflows_schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(files("airflow").joinpath(name).read_text())
    return schema


needs_declared_forms = pytest.mark.since_airflow("3.2", "connection forms declared by a provider")


def test_it_keeps_to_airflows_schema() -> None:
    jsonschema.validate(INFO, airflows_schema("provider_info.schema.json"))


@needs_declared_forms
def test_the_connection_form_keeps_to_airflows_schema() -> None:
    whole = airflows_schema("provider.yaml.schema.json")
    schema = {**whole["properties"]["connection-types"], "definitions": whole["definitions"]}
    # Airflow allows other keys next to a field's schema; a misspelled one would be ignored silently.
    jsonschema.validate(INFO["connection-types"], schema)
    for field in CONNECTION["conn-fields"].values():
        jsonschema.Draft7Validator.check_schema(field["schema"])
        jsonschema.validate(field["schema"]["default"], field["schema"])


def test_airflow_is_not_needed_to_read_it() -> None:
    """Airflow reads it while it is itself starting."""
    code = (
        "import sys; before = set(sys.modules); sys.modules['airflow'] = None\n"
        "from airflow_provider_online_tasks.get_provider_info import get_provider_info\n"
        "assert get_provider_info()['package-name']\n"
        "new = set(sys.modules) - before\n"
        "print(*sorted(name for name in new if name.split('.')[0] not in sys.stdlib_module_names))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    ).stdout.split()
    assert found == [
        "airflow",
        "airflow_provider_online_tasks",
        "airflow_provider_online_tasks.get_provider_info",
    ]


def test_the_version_is_the_packages() -> None:
    assert INFO["versions"][0] == airflow_provider_online_tasks.__version__ == version(PACKAGE)
    assert INFO["package-name"] == PACKAGE


def test_airflow_finds_it() -> None:
    (found,) = [
        point for point in entry_points(group="apache_airflow_provider") if point.dist.name == PACKAGE
    ]
    assert found.load() is get_provider_info


def test_provider_info_each_call_returns_new_data() -> None:
    get_provider_info()["connection-types"].clear()
    assert get_provider_info() == INFO


@pytest.mark.parametrize("kind", KINDS)
def test_provider_info_lists_every_module_with_a_public_class(kind: str) -> None:
    package = importlib.import_module(f"airflow_provider_online_tasks.{kind}")
    public = {getattr(front_door, name) for name in front_door.__all__}
    holding = {
        module
        for module in (f"{package.__name__}.{info.name}" for info in pkgutil.iter_modules(package.__path__))
        if any(
            inspect.isclass(value)
            and issubclass(value, KINDS[kind])
            and value.__module__ == module
            and value in public
            for value in vars(importlib.import_module(module)).values()
        )
    }
    assert {name for listed in INFO[kind] for name in listed["python-modules"]} == holding
    assert {listed["integration-name"] for listed in INFO[kind]} == {
        integration["integration-name"] for integration in INFO["integrations"]
    }


def test_provider_info_lists_every_extra_link() -> None:
    """A link that is not listed makes a DAG unreadable once it is serialized."""
    links = set()
    for listed in INFO["operators"] + INFO["sensors"]:
        for name in listed["python-modules"]:
            for value in vars(importlib.import_module(name)).values():
                if inspect.isclass(value) and issubclass(value, BaseOperator) and value.__module__ == name:
                    links |= {type(link) for link in value.operator_extra_links}
    assert {f"{link.__module__}.{link.__qualname__}" for link in links} == set(INFO["extra-links"])
    assert all(issubclass(link, BaseOperatorLink) for link in links)


def test_the_connection_is_the_hooks() -> None:
    assert CONNECTION["connection-type"] == OnlineTasksHook.conn_type
    assert CONNECTION["hook-name"] == OnlineTasksHook.hook_name
    assert CONNECTION["hook-class-name"] == f"{OnlineTasksHook.__module__}.OnlineTasksHook"


def test_a_form_that_was_left_as_it_is_makes_a_connection() -> None:
    defaults = {name: field["schema"]["default"] for name, field in CONNECTION["conn-fields"].items()}
    settings = Settings.of_connection(host=None, api_key="k", extra=defaults, conn_id="c")
    assert settings == Settings.of_connection(host=None, api_key="k", extra={}, conn_id="c")


def test_connection_field_in_form_has_description() -> None:
    assert set(CONNECTION["conn-fields"]) == EXTRA_FIELDS
    for field in CONNECTION["conn-fields"].values():
        assert field["description"].endswith(".")
        # Airflow marks what cannot be null as required.
        assert "null" in field["schema"]["type"]


@needs_declared_forms
@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")
def test_airflow_shows_the_form() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert PACKAGE in manager.providers
    hook = manager.hooks["arize_online_tasks"]
    assert hook is not None
    assert (hook.hook_name, hook.connection_testable) == ("Arize online tasks", True)
    behaviour = manager.field_behaviours["arize_online_tasks"]
    assert behaviour["hidden_fields"] == ["login", "schema", "extra"]
    assert behaviour["relabeling"] == {"host": "Host (on-premises)", "password": "API key"}
    fields = {
        found.field_name: found
        for key, found in manager.connection_form_widgets.items()
        if key.startswith("extra__arize_online_tasks__")
    }
    assert set(fields) == set(CONNECTION["conn-fields"])
    assert fields["region"].field["schema"]["title"] == "Region"
    assert set(INFO["extra-links"]) <= set(manager.extra_links_class_names)

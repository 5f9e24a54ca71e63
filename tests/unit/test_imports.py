"""What a DAG file imports with the operators, the sensor and the trigger: little, and nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PACKAGE = "airflow_provider_online_tasks"
# What a DAG file imports. Airflow parses each file every 30 seconds or so.
PARSED = ("operators.eval_tasks", "operators.runs", "operators.results", "operators.gate", "sensors.runs")
EVERY_OPERATOR = (
    *PARSED,
    "operators.evaluators",
    "operators.spans",
    "task_groups",
    "notifications.eval_gate",
)
# The most modules of this package that these imports may load. Raise it only for a reason: compare
# `make bench ONLY=parse` before and after.
MODULES_PARSED = 34
MODULES_OF_TRIGGER = 21
# Loaded when a task runs or a trigger waits, and by the emulator, the Evals page and OpenLineage.
HEAVY = {
    *("gql", "graphql", "requests", "requests_toolbelt", "httpx", "tenacity", "ssl", "urllib3"),
    *("ariadne", "starlette", "uvicorn", "sqlalchemy", "fastapi", "pyarrow", "numpy", "pandas"),
    *("openlineage", "scipy"),
}
# Fork after the import of airflow.sdk, which takes most of the time.
SCRIPT = """
import importlib, json, os, sys
import airflow.sdk, airflow.triggers.base
for modules in json.loads(sys.argv[1]):
    if os.fork() == 0:
        before = set(sys.modules)
        for module in modules:
            importlib.import_module(module)
        print("LOADED", json.dumps(sorted(set(sys.modules) - before)), flush=True)
        os._exit(0)
    os.wait()
"""


def loaded_by(*imports: tuple[str, ...]) -> list[set[str]]:
    """Return the modules that imports of this package load in a process that has loaded ``airflow.sdk``."""
    groups = json.dumps([[f"{PACKAGE}.{module}" for module in modules] for modules in imports])
    done = subprocess.run([sys.executable, "-c", SCRIPT, groups], capture_output=True, text=True, check=True)
    lines = [line.removeprefix("LOADED ") for line in done.stdout.splitlines() if line.startswith("LOADED ")]
    assert len(lines) == len(imports), done.stderr
    return [set(json.loads(line)) for line in lines]


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """The modules that each kind of import loads."""
    kinds = {"parsed": PARSED, "operators": EVERY_OPERATOR, "trigger": ("triggers.runs",)}
    return dict(zip(kinds, loaded_by(*kinds.values()), strict=True))


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("kind", ["parsed", "operators", "trigger"])
def test_import_loads_no_heavy_package(loaded: dict[str, set[str]], kind: str) -> None:
    assert packages(loaded[kind]) & HEAVY == set()


@pytest.mark.parametrize("kind", ["parsed", "operators", "trigger"])
def test_import_loads_nothing_that_only_a_running_task_needs(loaded: dict[str, set[str]], kind: str) -> None:
    parts = {module.removeprefix(f"{PACKAGE}.").partition(".")[0] for module in loaded[kind]}
    assert parts & {"emulator", "lineage", "diagnostics", "cli"} == set()
    assert f"{PACKAGE}.api.client" not in loaded[kind]
    assert f"{PACKAGE}.api.async_client" not in loaded[kind]


@pytest.mark.parametrize("name", ["inputs.eval_tasks", "inputs.runs", "api.responses", "runs.end_states"])
def test_import_of_operators_defines_no_pydantic_model(loaded: dict[str, set[str]], name: str) -> None:
    assert f"{PACKAGE}.{name}" not in loaded["parsed"]


def own(modules: set[str]) -> set[str]:
    return {module for module in modules if module.startswith(PACKAGE)}


def test_import_of_operators_loads_few_modules(loaded: dict[str, set[str]]) -> None:
    assert len(own(loaded["parsed"])) <= MODULES_PARSED, sorted(own(loaded["parsed"]))


def test_import_of_the_trigger_loads_few_modules(loaded: dict[str, set[str]]) -> None:
    assert len(own(loaded["trigger"])) <= MODULES_OF_TRIGGER, sorted(own(loaded["trigger"]))


CREATE = f"""
import sys
from {PACKAGE} import CreateEvalTaskOperator, OnlineTaskRunSensor, RunOnlineTaskOperator
evaluator = {{"name": "tone", "template": "{{output}}", "rails": ["good", "bad"]}}
llm = {{"model_name": "GPT_4o", "provider": "openAI"}}
CreateEvalTaskOperator(
    task_id="create", name="n", model_id="M", template_evaluators=evaluator, llm_config=llm
)
RunOnlineTaskOperator(task_id="run", online_task_id="T")
OnlineTaskRunSensor(task_id="wait", run_id="R")
sys.exit("{PACKAGE}.api.responses" in sys.modules)
"""


def test_creating_operators_defines_no_model_of_responses() -> None:
    done = subprocess.run([sys.executable, "-c", CREATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""A new field of createEvalTask is added in two files of the product, the schema and the emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.incomplete_changes import copy_package

if TYPE_CHECKING:
    from pathlib import Path

# File, the lines before the new ones, and the new lines. No other file knows the field.
ADDITIONS = (
    (
        "inputs/eval_tasks.py",
        "    run_continuously: Flag = False\n",
        "    retention_days: base.Count | None = None\n",
    ),
    (
        "inputs/eval_tasks.py",
        "    llm_config: LlmConfig = _UNCHANGED\n",
        "    retention_days: base.Count | None = _UNCHANGED\n",
    ),
    (
        "operators/eval_tasks.py",
        "        llm_config: LlmConfig | Mapping[str, Any] | XComArg | None = None,\n",
        "        retention_days: int | str | XComArg | None = None,\n",
    ),
    (
        "operators/eval_tasks.py",
        "        llm_config: LlmConfig | Mapping[str, Any] | XComArg | Unset = UNSET,\n",
        "        retention_days: int | str | XComArg | Unset | None = UNSET,\n",
    ),
    (
        "operators/eval_tasks.py",
        "        self.llm_config = plain(llm_config)\n        self.sampling_rate = sampling_rate\n",
        "        self.retention_days = retention_days\n",
    ),
    (
        "operators/eval_tasks.py",
        "        self.llm_config = plain(llm_config)\n        self.evaluators = plain(evaluators)\n",
        "        self.retention_days = retention_days\n",
    ),
    (
        "api/schema.graphql",
        "input CreateEvalTaskMutationInput {\n",
        "  retentionDays: Int\n",
    ),
    (
        "api/schema.graphql",
        "input PatchEvalTaskMutationInput {\n",
        "  retentionDays: Int\n",
    ),
    (
        "emulator/tasks/models.py",
        "    llm_config: dict[str, Any] | None = None\n",
        "    retention_days: int | None = None\n",
    ),
    (
        "emulator/tasks/api.py",
        '    "llmConfig": "llm_config",\n',
        '    "retentionDays": "retention_days",\n',
    ),
)
SCRIPT = """
import json
from airflow_provider_online_tasks import CreateEvalTaskOperator, EvalTaskInput, EvalTaskPatch
from airflow_provider_online_tasks.api.client import Client
from airflow_provider_online_tasks.api.settings import Endpoint
from airflow_provider_online_tasks.api.settings import Settings
from airflow_provider_online_tasks.emulator import DEFAULT_API_KEY, Emulator
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.eval_tasks.creation import find_changes

with Emulator() as arize:
    operator = CreateEvalTaskOperator(
        task_id="create",
        name="new",
        model_id=arize.project_id,
        evaluators={"evaluator_id": arize.evaluator_ids["output_present"]},
        retention_days="{{ params.days }}",
    )
    operator.retention_days = "7"  # as rendered
    task = EvalTaskInput.read(operator._arguments())
    hook = OnlineTasksHook()
    endpoint = Endpoint(app_url=arize.url, rest_url=arize.url)
    hook.settings = Settings(endpoint=endpoint, api_key=DEFAULT_API_KEY)
    with hook:
        task_id = hook.create_eval_task(task)
        created = arize.tasks()[0]["retention_days"]
        changes = find_changes(hook.get_task(task_id), task)
        hook.patch_eval_task(EvalTaskPatch(online_task_id=task_id, retention_days=30))
        patched = arize.tasks()[0]["retention_days"]
        hook.patch_eval_task(EvalTaskPatch(online_task_id=task_id, retention_days=None))
        cleared = arize.tasks()[0]["retention_days"]
print(json.dumps({
    "is a template": "retention_days" in operator.template_fields,
    "kept": [created, patched, cleared],
    "is part of an update": "retention_days" in changes.fields,
}))
"""


@pytest.mark.slow
def test_new_field_touches_two_files_of_product_schema_and_emulator(tmp_path: Path) -> None:
    copy_package(tmp_path, ADDITIONS)
    files = {file for file, _, _ in ADDITIONS}
    assert len(files) == 5  # two of the product, the schema, and two of the emulator

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "is a template": True,
        "kept": [7, 30, None],
        "is part of an update": True,
    }

"""How the tests talk to the emulator: plain HTTP through requests, as any client would."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorControl

CREATE = """mutation ($input: CreateEvalTaskMutationInput!) {
  createEvalTask(input: $input) { evalTask { id name samplingRate queryFilter runContinuously } } }"""
PATCH = """mutation ($input: PatchEvalTaskMutationInput!) {
  patchEvalTask(input: $input) { evalTask { id name samplingRate queryFilter runContinuously } } }"""
RUN = """mutation ($input: RunOnlineTaskMutationInput!) { runOnlineTask(input: $input) { result {
  __typename ... on CreateTaskRunResponse { runId } ... on TaskError { message code } } } }"""

LLM = {"modelName": "GPT_4o", "provider": "openAI", "temperature": 0}
AGENTS = "attributes.openinference.span.kind = 'AGENT'"


def template_evaluator(name: str = "answer quality", **fields: Any) -> dict[str, Any]:
    """The input of an inline evaluator of answers."""
    return {
        "name": name,
        "rails": ["bad", "good"],
        "template": "{attributes.input.value}\n{attributes.output.value}\nIs the answer good?",
        "position": 1,
        "includeExplanations": True,
        "useFunctionCallingIfAvailable": False,
        **fields,
    }


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def days_ago(days: float) -> str:
    return iso(datetime.now(UTC) - timedelta(days=days))


def eventually(look: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """Look again until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"still {seen!r} after {seconds} seconds"
        time.sleep(0.02)
    return seen


class Api:
    """Both APIs of an emulator with its key."""

    def __init__(self, emulator: EmulatorControl) -> None:
        self.emulator = emulator
        self.http = requests.Session()

    def graphql(self, query: str, *, key: str | None = None, **variables: Any) -> requests.Response:
        return self.http.post(
            f"{self.emulator.url}/graphql",
            json={"query": query, "variables": variables},
            headers={"x-api-key": self.emulator.api_key if key is None else key},
            timeout=60,
        )

    def rest(self, method: str, path: str, *, key: str | None = None, **options: Any) -> requests.Response:
        key = self.emulator.api_key if key is None else key
        return self.http.request(
            method,
            f"{self.emulator.url}/v2/{path}",
            headers={"Authorization": f"Bearer {key}"},
            timeout=60,
            **options,
        )

    def create(self, **fields: Any) -> str:
        """Create a task and return its ID."""
        given = {
            "name": "nightly",
            "modelId": self.emulator.info()["project_id"],
            "samplingRate": 1,
            "queryFilter": AGENTS,
            "templateEvaluators": [template_evaluator()],
            "llmConfig": LLM,
        }
        answer = self.graphql(CREATE, input=given | fields).json()
        assert "errors" not in answer, answer
        task_id: str = answer["data"]["createEvalTask"]["evalTask"]["id"]
        return task_id

    def start(self, task_id: str, **fields: Any) -> dict[str, Any]:
        """Ask for a run over the last week and return the union's member."""
        window = {"dataStartTime": days_ago(7), "dataEndTime": days_ago(0)}
        answer = self.graphql(RUN, input={"onlineTaskId": task_id} | window | fields).json()
        assert "errors" not in answer, answer
        result: dict[str, Any] = answer["data"]["runOnlineTask"]["result"]
        return result

    def run(self, task_id: str, **fields: Any) -> str:
        """Start a run and return its ID."""
        run_id: str = self.start(task_id, **fields)["runId"]
        return run_id

    def read(self, run_id: str) -> dict[str, Any]:
        """Read a run."""
        response = self.rest("GET", f"task-runs/{run_id}")
        assert response.status_code == 200, response.text
        run: dict[str, Any] = response.json()
        return run

    def counts(self, run_id: str) -> tuple[int, int, int]:
        """Read how many spans of a run were evaluated, failed and were skipped."""
        run = self.read(run_id)
        return run["num_successes"], run["num_errors"], run["num_skipped"]

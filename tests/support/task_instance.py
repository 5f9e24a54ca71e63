"""The tries of a task instance: the state store and the counters that Airflow keeps between them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

EVALUATOR = {
    "name": "correctness",
    "template": "{attributes.input.value} {attributes.output.value}",
    "rails": ["correct", "incorrect"],
}
TASK: dict[str, Any] = {
    "name": "answer correctness",
    "query_filter": "attributes.openinference.span.kind = 'AGENT'",
    "template_evaluators": [EVALUATOR],
    "llm_config": {"model_name": "GPT_4o", "provider": "openAI"},
}


class Killed(BaseException):
    """The process is killed."""


class Store:
    """The task state store of Airflow 3.3."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class TaskInstance:
    """Creates the Airflow context of each try.

    :param is_kept: whether this Airflow has a state store (3.3 and later).
    """

    def __init__(self, *, is_kept: bool = True) -> None:
        self.store = Store() if is_kept else None
        self.try_number = 0
        self.max_tries = 2
        self.dag_run_start = datetime.now(UTC)

    def next_try(self) -> Any:
        """Return the context of the next try."""
        self.try_number += 1
        context = {
            "ti": SimpleNamespace(
                try_number=self.try_number, max_tries=self.max_tries, xcom_push=lambda **_: None
            ),
            "dag_run": SimpleNamespace(start_date=self.dag_run_start),
        }
        return context if self.store is None else {**context, "task_state_store": self.store}

    def clear(self) -> None:
        """Raise the limit of tries, as clearing the task does."""
        self.max_tries = self.try_number + 2

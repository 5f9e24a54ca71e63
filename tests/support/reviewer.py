"""A person who responds to a task that asks."""

from __future__ import annotations

import inspect
import threading
import time
from importlib import import_module
from typing import Any


class Reviewer:
    """Responds to an approval with the function behind Airflow's page of required actions."""

    def __init__(self, dag_id: str, task_id: str, option: str) -> None:
        self.asked: list[dict[str, Any]] = []
        self._dag_id, self._task_id, self._option = dag_id, task_id, option
        # Import here: two threads that import Airflow's models at the same time deadlock.
        import_module("airflow.api_fastapi.core_api.routes.public.hitl")
        import_module("airflow.models").import_all_models()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def done(self) -> None:
        self._thread.join(10)

    def _answer(self) -> None:
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
        from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
        from airflow.models.dagbag import DBDagBag
        from airflow.models.hitl import HITLDetail
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        is_new = "dag_bag" in inspect.signature(update_hitl_detail).parameters  # since Airflow 3.4
        dag_bag: dict[str, Any] = {"dag_bag": DBDagBag()} if is_new else {}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.5)
            with create_session() as session:
                task = session.scalar(
                    select(TaskInstance).where(
                        TaskInstance.dag_id == self._dag_id,
                        TaskInstance.task_id == self._task_id,
                        TaskInstance.state.in_(("awaiting_input", "deferred")),
                    )
                )
                question = task and session.scalar(select(HITLDetail).where(HITLDetail.ti_id == task.id))
                if task is None or question is None:
                    continue
                if question.responded_at is not None:
                    # dag.test() may have overwritten the state that the response set: set it again.
                    if task.state == "awaiting_input":
                        task.state = "scheduled"
                    return
                if not self.asked:
                    time.sleep(2)  # until dag.test() only waits for the response
                self.asked.append({"subject": question.subject, "body": question.body})
                update_hitl_detail(
                    dag_id=self._dag_id,
                    dag_run_id=task.run_id,
                    task_id=self._task_id,
                    update_hitl_detail_payload=UpdateHITLDetailPayload(chosen_options=[self._option]),
                    user=SimpleAuthManagerUser(username="reviewer", role="admin"),
                    session=session,
                    **dag_bag,
                )
                deadline = time.monotonic() + 3

"""Run DAGs with ``dag.test()`` in this process's Airflow, and read how they ended.

Airflow is imported inside the functions, because ``tests/conftest.py`` sets its environment first.
"""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG


@dataclass(frozen=True)
class DagResult:
    """How a DAG run ended.

    :param dag_run: Airflow's record of the run.
    :param states: the state of each task instance by name: ``task_id``, or ``task_id[0]``, ``task_id[1]``, …
        if the task is mapped.
    :param xcoms: the XComs of each task instance by name and key.
    """

    dag_run: DagRun
    states: dict[str, str | None]
    xcoms: dict[str, dict[str, Any]]

    @property
    def state(self) -> str:
        """The state of the DAG run, such as ``success``."""
        return str(self.dag_run.state)

    def returned(self, task: str) -> Any:
        """Return the return value of a task instance."""
        return self.xcoms[task]["return_value"]


def share_in_process_api_server() -> None:
    """Let all tasks of ``dag.test()`` use one API server, as Airflow 3.3 does.

    Older versions create a server per task, which takes most of their time.
    """
    from airflow.sdk.execution_time import supervisor

    if not hasattr(supervisor.in_process_api_server, "cache_info"):
        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


def read_dags(folder: Path) -> DagBag:
    """Return the DAGs of a folder."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ModuleNotFoundError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag

    return DagBag(dag_folder=str(folder))


def register_dags(*dags: DAG) -> None:
    """Store DAGs in Airflow's database, unpaused, as the DAG processor does."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    bag = read_dags(Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]))
    for dag in dags:
        bag.bag_dag(dag)
    DagBundlesManager().sync_bundles_to_db()
    if hasattr(bag, "sync_to_db"):  # Airflow 3.0
        for dag in dags:
            dag.relative_fileloc = dag.relative_fileloc or dag.fileloc
        bag.sync_to_db("dags-folder", None)
    else:
        sys.modules[type(bag).__module__].sync_bag_to_db(bag, "dags-folder", None)
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id.in_(bag.dags)).values(is_paused=False))


def run_dag(dag: DAG, *, conf: dict[str, Any] | None = None, **when: datetime | None) -> DagResult:
    """Run a DAG with its real tasks and triggers, and return how it ended.

    :param conf: the run's configuration.
    :param when: ``logical_date``: default now; None creates a run without a data interval, as an asset does.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    # dag.test() reads the DAG's version from the database, and a DAG that a test defines is in no folder.
    register_dags(dag)
    dag_run = dag.test(run_conf=conf, **when)

    def name(row: Any) -> str:
        return row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"

    with create_session() as session:
        of_run = {"dag_id": dag.dag_id, "run_id": dag_run.run_id}
        instances = session.scalars(select(TaskInstance).filter_by(**of_run))
        states = {name(row): row.state and str(row.state) for row in instances}
        xcoms: dict[str, dict[str, Any]] = {}
        for row in session.scalars(select(XComModel).filter_by(**of_run)):
            xcoms.setdefault(name(row), {})[row.key] = XComModel.deserialize_value(row)
    return DagResult(dag_run=dag_run, states=states, xcoms=xcoms)

"""With the FAB auth manager, the Evals page shows only what Airflow's API shows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.uv_runner import uv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.uv_runner import Built

pytestmark = [pytest.mark.slow, pytest.mark.since_airflow("3.3", "the FAB provider that this test installs")]

AIRFLOW = "3.3.2"
# On a busy machine, each of a dozen Airflow commands takes up to a minute.
INSTALL_SECONDS, ASK_SECONDS = 600, 1800
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"


@pytest.fixture
def python_with_fab(built: Built, tmp_path: Path) -> Iterator[Path]:
    """An environment with FAB, whose dependencies conflict with constraints.txt."""
    folder = tmp_path / ".venv"
    python = folder / "bin" / "python"
    uv("venv", folder, "--python", sys.executable, timeout=INSTALL_SECONDS)
    uv(
        "pip", "install", "--python", python, built.wheel, f"apache-airflow=={AIRFLOW}",
        "apache-airflow-providers-fab",
        timeout=INSTALL_SECONDS,
    )  # fmt: skip
    yield python
    shutil.rmtree(folder)


def test_evals_page_shows_only_what_the_api_shows(
    python_with_fab: Path, users_variables: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "airflow"
    environment = {
        **users_variables,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__AUTH_MANAGER": FAB,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    asked = subprocess.run(
        [python_with_fab, Path(__file__).with_name("evals_rights.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=ASK_SECONDS,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr[-4000:]

    answers: dict[str, dict[str, Any]] = json.loads(asked.stdout.splitlines()[-1])

    assert answers["reader_of_the_dag"] == {
        "REST evals_00": 403,
        "page evals_00": 403,
        "REST evals_01": 403,
        "page evals_01": 403,
        "overview": [],
    }
    assert answers["reader_of_the_xcoms"] == {
        "REST evals_00": 200,
        "page evals_00": 200,
        "REST evals_01": 403,
        "page evals_01": 403,
        "overview": ["evals_00"],
    }

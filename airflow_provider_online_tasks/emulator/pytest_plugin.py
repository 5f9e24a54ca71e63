"""The pytest fixture ``online_tasks_emulator``: a local Arize for the test of a DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_online_tasks.emulator import Emulator

# pytest loads this module in every session where the distribution is installed: nothing else is imported yet.

NAME = "online_tasks_emulator"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option and the command line option that change the fixture's settings."""
    parser.addini(
        NAME, "settings of the online_tasks_emulator fixture, one name=value a line", type="linelist"
    )
    parser.getgroup("online tasks").addoption(
        "--online-tasks-emulator",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the online_tasks_emulator fixture; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that changes the fixture's settings for one test."""
    config.addinivalue_line("markers", f"{NAME}(**settings): settings of the emulator of this test")


@pytest.fixture
def online_tasks_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A local Arize of this test alone: runs are over at once and nothing is limited.

    Its settings come from the ini option ``online_tasks_emulator``, the command line option
    ``--online-tasks-emulator`` and the marker ``online_tasks_emulator``, each over the one before.
    """
    from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
    from airflow_provider_online_tasks.emulator.checked import read_text

    values: dict[str, Any] = {"run_seconds": 0.0, "queries_per_minute": None, "mutations_per_minute": None}
    for line in [*request.config.getini(NAME), *request.config.getoption("--online-tasks-emulator")]:
        name, separator, text = line.partition("=")
        if not separator:
            raise pytest.UsageError(f"{NAME}: {line!r} is no setting; write name=value")
        values[name.strip()] = read_text(EmulatorSettings, name.strip(), text.strip())
    for marker in reversed(list(request.node.iter_markers(NAME))):
        values.update(marker.kwargs)
    with Emulator(EmulatorSettings(**values)) as emulator:
        yield emulator

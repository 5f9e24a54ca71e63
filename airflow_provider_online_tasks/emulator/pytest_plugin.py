"""The pytest fixture ``online_tasks_emulator``: an emulator for the test of a DAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_online_tasks.emulator import Emulator

# pytest loads this module in every session, so it imports nothing else at the top.

NAME = "online_tasks_emulator"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that change the fixture's settings."""
    parser.addini(
        NAME, "settings of the online_tasks_emulator fixture, one name=value per line", type="linelist"
    )
    parser.getgroup("online tasks").addoption(
        "--online-tasks-emulator",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the online_tasks_emulator fixture; can be repeated",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that changes the fixture's settings for one test."""
    config.addinivalue_line("markers", f"{NAME}(**settings): settings of the emulator of this test")


@pytest.fixture
def online_tasks_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """An emulator for this test: its runs finish at once, and it has no rate limits.

    The marker ``online_tasks_emulator`` overrides the command line option ``--online-tasks-emulator``, which
    overrides the ini option ``online_tasks_emulator``.
    """
    from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
    from airflow_provider_online_tasks.emulator.settings import read_setting

    values: dict[str, Any] = {"run_seconds": 0.0, "queries_per_minute": None, "mutations_per_minute": None}
    for line in [*request.config.getini(NAME), *request.config.getoption("--online-tasks-emulator")]:
        name, separator, text = line.partition("=")
        if not separator:
            raise pytest.UsageError(f"{NAME}: write settings as name=value, not {line!r}")
        try:
            values[name.strip()] = read_setting(name.strip(), text.strip())
        except ValueError as error:
            raise pytest.UsageError(f"{NAME}: {line}: {error}") from None
    for marker in reversed(list(request.node.iter_markers(NAME))):
        values.update(marker.kwargs)
    with Emulator(EmulatorSettings(**values)) as emulator:
        yield emulator

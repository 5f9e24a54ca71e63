"""How much is measured: all of it, or just enough to know that the measurements work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    :param parses: pairs of fresh processes that import the modules.
    :param first_calls: pairs of fresh processes that make a call.
    :param warm_processes: processes that make calls on a session they have.
    :param warm_rounds: rounds of each of them; in each, every kind of call is made ten times.
    :param waits: how many runs are waited for at once, ascending.
    :param compared: as many of ``waits`` as one request for each run and poll is measured with.
    :param runs_per_task: how many of the waits are of one task.
    :param run_seconds: the shortest and the longest time a run takes.
    :param poll_interval: seconds between two looks at a run.
    :param most_seconds: after which a wait that is not over counts as not noticed.
    :param sensors: waits by sensors, a process each.
    :param sensed_seconds: as ``run_seconds``, for the runs that sensors wait for: all of them load first.
    :param spans: how many evaluated spans are read, ascending.
    :param emulated_spans: how many of them the emulator holds.
    :param reads: how often each of these is read.
    """

    parses: int = 8
    first_calls: int = 6
    warm_processes: int = 3
    warm_rounds: int = 20
    waits: tuple[int, ...] = (10, 100, 1_000, 10_000)
    compared: tuple[int, ...] = (10, 100, 1_000)
    runs_per_task: int = 100
    run_seconds: tuple[float, float] = (30.0, 120.0)
    poll_interval: float = 10.0
    most_seconds: float = 150.0
    sensors: int = 20
    sensed_seconds: tuple[float, float] = (60.0, 120.0)
    spans: tuple[int, ...] = (1_000, 10_000, 100_000)
    emulated_spans: int = 10_000
    reads: int = 3


FULL = Sizes()
TINY = Sizes(
    parses=1,
    first_calls=1,
    warm_processes=1,
    warm_rounds=1,
    waits=(2, 4, 6),
    compared=(4,),
    runs_per_task=2,
    run_seconds=(0.5, 1.0),
    poll_interval=0.5,
    most_seconds=10.0,
    sensors=1,
    sensed_seconds=(0.5, 1.0),
    spans=(500, 1_000),
    emulated_spans=500,
    reads=1,
)

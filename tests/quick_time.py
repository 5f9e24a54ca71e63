"""An event loop on which waiting takes no time: when nothing is under way, its clock jumps to the next timer.

Requests go over real HTTP, and take the time they take; on a still loop they take none, and what its clock
measures depends on no machine. The emulators that are registered here let the same time pass, so that their
runs proceed and their limits recover.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_online_tasks.api.async_client import AsyncClient

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import EmulatorControl

T = TypeVar("T")
# How long a turn of a still loop takes.
TURN_SECONDS = 1e-6


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps while nobody waits for an answer or a thread.

    :param still: whether its clock goes on by jumps alone, for tests in which every request is answered.
    """

    def __init__(self, *, still: bool = False) -> None:
        self.still = still
        self.busy = 0
        self.turns = 0
        self.jumped = 0.0
        self.owed = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the seconds of a clock that goes on, or stands still, and jumps ahead."""
        return self.jumped if self.still else super().time() + self.jumped

    def jump(self, seconds: float) -> None:
        """Let time pass at once."""
        self.jumped += seconds
        self.owed += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Wait for threads in real time."""
        future = super().run_in_executor(executor, func, *args)
        self.busy += 1
        future.add_done_callback(self._end)
        return future

    def _end(self, _: object) -> None:
        self.busy -= 1


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: QuickLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self._loop.turns += 1
        if self._loop.still:
            # Else what is due a rounding error from now would stay so for ever.
            self._loop.jump(TURN_SECONDS)
        if timeout is None or timeout <= 0 or self._loop.busy:
            return super().select(None if self._loop.still and timeout else timeout)
        events = super().select(0)
        if not events:
            self._loop.jump(timeout)
        return events


class Clocks:
    """The emulators whose time passes with the loop's."""

    def __init__(self) -> None:
        self.emulators: list[EmulatorControl] = []
        self._exchange = AsyncClient.exchange

    def add(self, emulator: EmulatorControl) -> None:
        """Have an emulator's time pass with the loop's from now on."""
        if emulator not in self.emulators:
            self.emulators.append(emulator)

    def exchange(self) -> Any:
        """Return what takes the place of ``AsyncClient.exchange``."""
        really = self._exchange

        async def exchange(client: AsyncClient, *args: Any, **kwargs: Any) -> Any:
            loop = asyncio.get_running_loop()
            if not isinstance(loop, QuickLoop):
                return await really(client, *args, **kwargs)
            self.catch_up(loop)
            loop.busy += 1
            try:
                return await really(client, *args, **kwargs)
            finally:
                loop.busy -= 1

        return exchange

    def catch_up(self, loop: QuickLoop) -> None:
        """Let the time that the loop has jumped pass at the emulators too."""
        owed, loop.owed = loop.owed, 0.0
        for emulator in self.emulators if owed else ():
            emulator.advance(owed)


def run(main: Coroutine[Any, Any, T], *, still: bool = False) -> T:
    """Run a coroutine on an event loop of its own, on which waiting takes no time.

    :param still: whether requests take none either.
    """
    with asyncio.Runner(loop_factory=lambda: QuickLoop(still=still)) as runner:
        return runner.run(main)

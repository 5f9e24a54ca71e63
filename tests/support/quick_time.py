"""An event loop on which waiting takes no time: its clock jumps to the next timer while it is idle.

Requests go over real HTTP while the clock stands still, so results don't depend on the speed of the machine.
The clocks of the registered emulators follow the clock of the loop: their runs proceed and their limits
recover.
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
# Time that a turn of the loop takes. Without it, a timer that is due a rounding error from now never fires.
TURN_SECONDS = 1e-6
LEAST_OWED = 1e-3
PATIENCE = 60.0


class QuickLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps while no response and no thread is awaited.

    :param still: whether the clock advances by jumps only. Must be False if a response has to time out.
    """

    def __init__(self, *, still: bool = True) -> None:
        self.still = still
        self.busy = 0
        self.turns = 0
        self.jumped = 0.0
        self.owed = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        """Return the seconds of a clock that stands still or runs, and jumps ahead."""
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
        loop = self._loop
        loop.turns += 1
        if loop.still:
            loop.jump(TURN_SECONDS)
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if not loop.busy:
            events = super().select(0)
            if not events:
                loop.jump(timeout)
            return events
        if not loop.still:
            return super().select(timeout)
        events = super().select(PATIENCE)
        if not events:
            raise RuntimeError("No response came. Use still=False if it has to time out.")
        return events


class Clocks:
    """The emulators whose clocks follow the loop's clock."""

    def __init__(self) -> None:
        self.emulators: list[EmulatorControl] = []
        self._ask = AsyncClient._request

    def add(self, emulator: EmulatorControl) -> None:
        """Have an emulator's time pass with the loop's from now on."""
        if emulator not in self.emulators:
            self.emulators.append(emulator)
            emulator.stop_clock()

    def ask(self) -> Any:
        """Return what takes the place of ``AsyncClient._request``."""
        really = self._ask

        async def ask(client: AsyncClient, *args: Any, **kwargs: Any) -> Any:
            loop = asyncio.get_running_loop()
            if not isinstance(loop, QuickLoop):
                return await really(client, *args, **kwargs)
            self.catch_up(loop)
            loop.busy += 1
            try:
                return await really(client, *args, **kwargs)
            finally:
                loop.busy -= 1

        return ask

    def catch_up(self, loop: QuickLoop) -> None:
        """Let the time that the loop has jumped pass at the emulators too."""
        if loop.owed >= LEAST_OWED:
            owed, loop.owed = loop.owed, 0.0
            for emulator in self.emulators:
                emulator.advance(owed)


def run(main: Coroutine[Any, Any, T], *, still: bool = True) -> T:
    """Run a coroutine on a separate event loop on which waiting takes no time.

    :param still: whether requests take no time either. Must be False if a response has to time out.
    """
    with asyncio.Runner(loop_factory=lambda: QuickLoop(still=still)) as runner:
        return runner.run(main)

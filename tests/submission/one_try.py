"""One try of the operator in a process of its own, which stops where it is told to and waits to be killed.

``python one_try.py STORE TASK STEP SKIP WAIT``: say ``reached STEP`` after SKIP others of that name, and stay
there. STEP ``none`` goes on to the end.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tries import Execution, Store


def main(store: str, online_task_id: str, step: str, skip: str, wait: str) -> None:
    left = [int(skip)]

    def reached(now: str) -> None:
        if now != step:
            return
        left[0] -= 1
        if left[0] < 0:
            print(f"reached {step}", flush=True)
            time.sleep(60)

    execution = Execution(
        online_task_id,
        {"wait_for_completion": wait == "wait", "deferrable": False, "poll_interval": 0.1},
        store=Store(Path(store)),
        reached=reached,
    )
    print(f"returned {execution.next_try()}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

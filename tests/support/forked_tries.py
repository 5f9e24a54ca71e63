"""A program that runs each try of the operator in a forked process, which a test can kill.

Each line of its input is a JSON object with the arguments of :func:`work`. For each line it forks a process
and prints ``pid``, and prints ``ended`` with the exit code when the process has ended. The process prints
``reached`` at the given step, and waits there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from airflow_provider_online_tasks.api.client import Client  # noqa: F401  once instead of in each process
from tests.support.tries import Execution, Store


def work(
    *,
    store: str,
    online_task_id: str,
    connection: str,
    window: dict[str, str],
    step: str,
    skip: int,
    waits: bool,
) -> None:
    """Run one try.

    :param step: the step to stop at; ``none`` continues to the end.
    :param skip: how many times to pass that step first.
    """
    left = [skip]

    def reached(now: str) -> None:
        if now == step:
            left[0] -= 1
            if left[0] < 0:
                print("reached", flush=True)
                time.sleep(60)

    os.environ["AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT"] = connection
    Execution(
        online_task_id,
        {**window, "wait_for_completion": waits, "deferrable": False, "poll_interval": 0.1},
        store=Store(Path(store)),
        reached=reached,
    ).next_try()


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            work(**asked)
            os._exit(0)
        print(f"pid {pid}", flush=True)
        _, status = os.waitpid(pid, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()

"""Which runs a poller's waits are for, and of which tasks these are."""

from __future__ import annotations

from airflow_provider_online_tasks.runs.polling.schedule import Run, Task


class Registry:
    """The runs that are waited for, and the tasks of those whose task is known.

    A task stays for as long as one of its runs is waited for, or something is asked about it.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.tasks: dict[str, Task] = {}
        self.taskless = 0

    def run(self, run_id: str) -> Run:
        """Return a run. Until its task is known, it is read by its ID."""
        run = self.runs.get(run_id)
        if run is None:
            run = self.runs[run_id] = Run(run_id=run_id)
            self.taskless += 1
        return run

    def task(self, task_id: str) -> Task:
        """Return a task."""
        task = self.tasks.get(task_id)
        if task is None:
            task = self.tasks[task_id] = Task(task_id=task_id)
        return task

    def has(self, run: Run) -> bool:
        """Return whether a run is still waited for."""
        return self.runs.get(run.run_id) is run

    def can_list(self, task_id: str) -> bool:
        """Return whether this can be the ID of a task: else its list cannot be asked for."""
        from airflow_provider_online_tasks.api import calls

        if task_id in self.tasks:
            return True
        try:
            calls.list_task_runs(task_id)
        except ValueError:
            return False
        return True

    def assign(self, run: Run, task_id: str) -> None:
        """Note of which task a run is."""
        if run.task_id == task_id:
            return
        if run.task_id is not None:
            self._leave_task(run)
            self.taskless += 1
        self.taskless -= 1
        run.task_id = task_id
        self.task(task_id).runs[run.run_id] = run

    def remove(self, run: Run) -> None:
        """Forget a run that nobody waits for."""
        del self.runs[run.run_id]
        run.ticket = 0
        self._leave_task(run)

    def _leave_task(self, run: Run) -> None:
        if run.task_id is None:
            self.taskless -= 1
            return
        task = self.tasks[run.task_id]
        del task.runs[run.run_id]
        if task.unseen is not None:
            task.unseen.discard(run.run_id)
        self.drop_if_idle(task)

    def drop_if_idle(self, task: Task) -> None:
        """Forget a task that nothing is asked about, and none of whose runs is waited for."""
        known = self.tasks.get(task.task_id) is task
        if known and not task.runs and not task.asking and not task.exploring:
            task.ticket = 0
            del self.tasks[task.task_id]

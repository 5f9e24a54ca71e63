"""Read back what a run's evaluators said, and hold it against rules.

API: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.asset_events import tell_of_run
from airflow_provider_online_tasks.exceptions import EvalGateBreached, InvalidInput
from airflow_provider_online_tasks.inputs import MAXIMIZE, MINIMIZE, DataWindow, read_id
from airflow_provider_online_tasks.inputs._templating import is_templated
from airflow_provider_online_tasks.operators._base import LineageOperator, OnlineTasksOperator
from airflow_provider_online_tasks.results.rows import FORMATS, RowWriter, open_rows
from airflow_provider_online_tasks.ui.evals.records import (
    RESULTS_KEY,
    VERDICT_KEY,
    results_record,
    verdict_record,
)
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_online_tasks.api.calls import Task
    from airflow_provider_online_tasks.api.runs import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.results.statistics import Results

PROGRESS_SECONDS = 15.0
ON_BREACH = ("fail", "skip")


class EvalResultsOperator(LineageOperator):
    """Read the evaluations of a finished run, and return what they come to.

    Give the run's ID, or the task and a window. The summary (XCom) holds per evaluator: ``evaluated``,
    ``without`` (spans that carry no evaluation of it), ``labels`` (count and share of each), ``score_mean``,
    ``score_quantiles`` (p05 to p95), and ``worst``, the IDs of at most 20 examples. ``matched_by`` says
    whether evaluations were told by the run they name (``run_id``), or, where the API does not say that, by
    their evaluator and the window (``evaluator``).

    The spans are paged through and counted: memory stays the same whatever the window.

    :param run_id: the run's ID. (templated)
    :param online_task_id: the task, in place of a run. (templated)
    :param data_start_time: begin of the window, with ``online_task_id``. (templated)
    :param data_end_time: end of the window, with ``online_task_id``. (templated)
    :param evaluators: column names of the evaluators to read. Default: those that the evaluations' metadata
        or the task name. (templated)
    :param direction: whether a high score is good: ``maximize`` (default) or ``minimize``.
    :param rows_path: where the rows are written, a path or URL of Airflow's object storage. Default: nowhere.
        (templated)
    :param rows_format: ``jsonl`` (default) or ``parquet``, which needs pyarrow.
    :param rows_conn_id: Airflow connection of the object storage.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong, the run is not over, or its evaluators cannot be told.
    :raises CallError: Arize refused or could not be reached.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "run_id",
        "online_task_id",
        "data_start_time",
        "data_end_time",
        "evaluators",
        "rows_path",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"evaluators": "json"}
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())

    def __init__(
        self,
        *,
        run_id: str | XComArg | None = None,
        online_task_id: str | XComArg | None = None,
        data_start_time: datetime | str | None = None,
        data_end_time: datetime | str | None = None,
        evaluators: Sequence[str] | None = None,
        direction: str = MAXIMIZE,
        rows_path: str | ObjectStoragePath | None = None,
        rows_format: str = FORMATS[0],
        rows_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.online_task_id = online_task_id
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.evaluators = evaluators
        self.direction = direction
        self.rows_path = rows_path
        self.rows_format = rows_format
        self.rows_conn_id = rows_conn_id
        if (run_id is None) == (online_task_id is None):
            raise InvalidInput(
                "Give either run_id, or online_task_id with data_start_time and data_end_time."
            )
        if (online_task_id is None) != (data_start_time is None) or (online_task_id is None) != (
            data_end_time is None
        ):
            raise InvalidInput("online_task_id, data_start_time and data_end_time go together.")
        if direction not in (MAXIMIZE, MINIMIZE):
            raise InvalidInput(f"direction must be {MAXIMIZE} or {MINIMIZE}, not {direction!r}.")
        if rows_format not in FORMATS:
            raise InvalidInput(f"rows_format must be one of {', '.join(FORMATS)}, not {rows_format!r}.")
        for name, value in (("run_id", run_id), ("online_task_id", online_task_id)):
            if value is not None and not is_templated(value):
                read_id(value, name)

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, count, and write the rows if asked to."""
        from airflow_provider_online_tasks.results.statistics import Results

        with self.hook as hook:
            run, task_id, window = self._subject(hook)
            run_id = run.id if run else None
            task = hook.get_task(task_id)
            if task.project_id is None:
                raise InvalidInput(f"Task {task_id} is not on a project's spans: its results are no spans.")
            self.links = hook.links_of(
                project_id=task.project_id, evaluator_ids=task.evaluator_ids, window=window
            )
            names = self._evaluator_names()
            results = Results(
                run_id=run_id, online_task_id=task_id, evaluators=names, direction=self.direction
            )
            written = self._read(hook, task, window, names, results)
        summary = {
            "run_id": run_id,
            "online_task_id": task_id,
            "project_id": task.project_id,
            "data_start_time": wire_time(window.start),
            "data_end_time": wire_time(window.end),
            **results.summary(),
            "rows_path": str(self.rows_path) if self.rows_path else None,
            "rows_written": written,
        }
        if run_id is not None and not results.is_by_run:
            self.log.warning(
                "No evaluation names the run it is of: those of the task's evaluators in the window count."
            )
        for name, found in summary["evaluators"].items():
            shares = ", ".join(
                f"{label} {one['share']:.1%} ({one['count']})" for label, one in found["labels"].items()
            )
            mean = found["score_mean"]
            self.log.info(
                "%s: %d evaluated, %d spans without. %s%s",
                name,
                found["evaluated"],
                found["without"],
                shares or "No labels",
                "" if mean is None else f"; mean score {mean:.4g}",
            )
        self._tell(context, run, summary)
        context["ti"].xcom_push(key=RESULTS_KEY, value=results_record(summary, spans_url=self.links.spans))
        return summary

    def _tell(self, context: Context, run: TaskRun | None, summary: dict[str, Any]) -> None:
        """Tell the task's assets and OpenLineage what was found."""
        labels = {
            name: {label: one["share"] for label, one in found["labels"].items()}
            for name, found in summary["evaluators"].items()
        }
        window = {name: summary[name] for name in ("online_task_id", "data_start_time", "data_end_time")}
        facts = run.summary() if run else window
        tell_of_run(context, self.outlets, facts, labels=labels)
        self.note_lineage({**facts, "labels": labels}, project_id=summary["project_id"])

    def _subject(self, hook: OnlineTasksHook) -> tuple[TaskRun | None, str, DataWindow]:
        if self.run_id is None:
            task_id = read_id(self.online_task_id, "online_task_id")
            return None, task_id, DataWindow.read(self.data_start_time, self.data_end_time)
        run = hook.get_task_run(read_id(self.run_id, "run_id"))
        if not run.is_over:
            raise InvalidInput(
                f"Run {run.id} is {run.status_text}: its results are not complete. Wait for it with "
                f"OnlineTaskRunSensor or wait_for_completion=True."
            )
        if run.task_id is None or run.data_start_time is None or run.data_end_time is None:
            raise InvalidInput(f"Run {run.id} has no window of spans: it is no run over a project's spans.")
        return run, run.task_id, DataWindow(start=run.data_start_time, end=run.data_end_time)

    def _evaluator_names(self) -> tuple[str, ...]:
        given: Any = () if self.evaluators is None else self.evaluators
        names = (given,) if isinstance(given, str) else tuple(given)
        if (self.evaluators is not None and not names) or not all(
            isinstance(name, str) and name.strip() for name in names
        ):
            raise InvalidInput(f"evaluators must be a list of column names, not {self.evaluators!r}.")
        return names

    def _read(
        self,
        hook: OnlineTasksHook,
        task: Task,
        window: DataWindow,
        names: Sequence[str],
        results: Results,
    ) -> int:
        from airflow_provider_online_tasks.api.calls.spans import list_spans

        cursor, told_at = None, time.monotonic()
        with self._rows() as rows:
            while True:
                page = hook.client.send(
                    list_spans(
                        str(task.project_id),
                        window,
                        query_filter=task.query_filter,
                        evaluators=names,
                        cursor=cursor,
                    )
                )
                for span in page.items:
                    taken = results.add(span)
                    if rows is not None:
                        rows.write(span, taken)
                cursor = page.next_cursor
                if cursor is None:
                    return rows.count if rows is not None else 0
                if time.monotonic() - told_at >= PROGRESS_SECONDS:
                    told_at = time.monotonic()
                    self.log.info("%d spans read.", results.spans)

    @contextmanager
    def _rows(self) -> Iterator[RowWriter | None]:
        if not self.rows_path:
            yield None
            return
        with open_rows(self.rows_path, self.rows_format, conn_id=self.rows_conn_id) as rows:
            yield rows


class EvalGateOperator(OnlineTasksOperator):
    """Hold the results of an eval against rules: a bad one stops what is downstream.

    It asks nothing of Arize: it reads the summary of ``EvalResultsOperator``. A rule compares the share of a
    label, ``score_mean`` or a quantile (``score_p05`` … ``score_p95``) with a bound. ``min_evaluated`` is the
    fewest evaluations it takes to tell, and ``max_drop`` the largest loss against an earlier summary, for the
    measures with a lower bound. What cannot be measured does not pass.

    XCom: the verdict, rule by rule.

    :param summary: what ``EvalResultsOperator`` returned. (templated)
    :param rules: ``{"correctness": {"correct": ">= 0.95", "score_mean": ">= 0.8", "min_evaluated": 200}}``.
        (templated)
    :param labels: evaluator name to all its labels. A rule on another label is refused. Needed for upper
        bounds on labels, which a misspelled label would always keep. (templated)
    :param previous: the summary of an earlier window, for ``max_drop``; None if there is none yet.
        (templated)
    :param min_evaluated: fewest evaluations for evaluators whose rules do not say it. Default 1.
    :param on_breach: whether a broken rule fails the task (``fail``, default) or skips it and what is
        downstream (``skip``).
    :raises InvalidInput: a rule cannot be parsed or names an unknown label; when the DAG is parsed if it
        is a literal.
    :raises EvalGateBreached: a rule is broken.
    """

    template_fields: Sequence[str] = ("summary", "rules", "labels", "previous")
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(template_fields, "json")
    ui_color = "#e0ffe8"

    def __init__(
        self,
        *,
        summary: Any,
        rules: Mapping[str, Mapping[str, Any]],
        labels: Mapping[str, Sequence[str]] | None = None,
        previous: Any = None,
        min_evaluated: int = 1,
        on_breach: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.summary = summary
        self.rules = rules
        self.labels = labels
        self.previous = previous
        self.min_evaluated = min_evaluated
        self.on_breach = on_breach
        if on_breach not in ON_BREACH:
            raise InvalidInput(f"on_breach must be one of {', '.join(ON_BREACH)}, not {on_breach!r}.")
        if not is_templated(rules):
            from airflow_provider_online_tasks.results import gate

            read = gate.read_rules(rules, min_evaluated=min_evaluated)
            if labels is not None and not is_templated(labels):
                gate.check_labels(read, labels)

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge, and tell it in one table."""
        from airflow_provider_online_tasks.results import gate

        rules = gate.read_rules(self.rules, min_evaluated=self.min_evaluated)
        findings = gate.judge(rules, self.summary, previous=self.previous, labels=self.labels)
        self.log.info("The gate's rules:\n%s", gate.table(findings))
        verdict = gate.verdict(findings)
        context["ti"].xcom_push(key=VERDICT_KEY, value=verdict_record(verdict))
        if verdict["passed"]:
            return verdict
        broken = [one for one in findings if not one.held]
        told = "; ".join(
            f"{one.evaluator}.{one.measure} is {one.measured_text}, not {one.rule}" for one in broken
        )
        message = f"{len(broken)} of {len(findings)} rules of the gate are broken: {told}."
        context["ti"].xcom_push(key="return_value", value=verdict)
        if self.on_breach == "skip":
            raise AirflowSkipException(message)
        raise EvalGateBreached(message, verdict=verdict)

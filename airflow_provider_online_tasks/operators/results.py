"""Read the evaluations of a run.

API: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_online_tasks._defaults import MAX_SEGMENTS
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.asset_events import update_asset_events
from airflow_provider_online_tasks.exceptions import EvalResultsIncomplete, InvalidInput
from airflow_provider_online_tasks.inputs.arguments import (
    MAXIMIZE,
    MINIMIZE,
    Granularity,
    check_id,
    check_name,
    choice,
    positive_seconds,
    read_id,
    read_name,
    read_names,
    whole_number,
)
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.operators.base import LineageOperator
from airflow_provider_online_tasks.results.rows import RowsFormat, RowWriter, check_installed, open_rows
from airflow_provider_online_tasks.runs.window import check_window_literals
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_online_tasks.api.responses import AttachedEvaluator, TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.results.completeness import Completeness
    from airflow_provider_online_tasks.results.reading import Reader
    from airflow_provider_online_tasks.results.summary import Results

OnIncomplete = Literal["fail", "warn"]
# Arize indexes evaluations one to two hours late.
COMPLETE_WITHIN = timedelta(hours=2)
FIRST_PAUSE, MAX_PAUSE = 15.0, 600.0


class EvalResultsOperator(LineageOperator):
    """Read the evaluations of a finished run, and return a summary.

    Set the run's ID, or the task and a window. The summary (XCom) has per evaluator: ``evaluated``,
    ``not_evaluated`` (spans without an evaluation), ``labels`` (count and share of each), ``score_mean``,
    ``score_variance``, ``score_quantiles`` (p05 to p95), ``invalid_scores`` (scores such as NaN),
    ``evaluator_versions``, ``segments``, and ``lowest_scoring_examples``: at most 20 examples with input,
    output, explanation and URL.

    ``complete`` says whether all evaluations of the run were read: ``read`` is compared with ``expected``,
    the run's own count. Arize indexes evaluations late, so the task waits in the triggerer and reads
    everything again until the numbers agree; the pauses double from ``poll_interval`` to 10 minutes.
    ``complete`` is None if it is unknown.

    Spans are counted page by page: memory does not depend on the window.

    :param run_id: the run's ID. (templated)
    :param online_task_id: the task, instead of a run. (templated)
    :param data_start_time: start of the window, with ``online_task_id``. (templated)
    :param data_end_time: end of the window, with ``online_task_id``. (templated)
    :param evaluators: column names of the evaluators to read. Default: those whose evaluations name the run
        or the task in their metadata. (templated)
    :param direction: whether a high score is good: ``maximize`` (default) or ``minimize``.
    :param granularity: what the evaluators evaluate: ``span`` (default), ``trace`` or ``session``.
    :param group_by: an attribute such as ``attributes.llm.model_name``, whose values are the segments.
        (templated)
    :param max_segments: maximum number of segments in the summary; the largest are kept and the others
        are counted as ``(other)``. Default 20.
    :param baseline: length of the time before the window whose evaluations by the same evaluators are read
        too, for ``max_drop`` of the gate; a timedelta or seconds. Default: none.
    :param complete_within: how long after the run's end its evaluations may take to be readable; a timedelta
        or seconds. Default: 2 hours. 0 reads once.
    :param poll_interval: seconds before the second read. Default 15.
    :param on_incomplete: what happens if evaluations are still missing after ``complete_within``: ``fail``
        (default), or ``warn``, which returns what could be read. A gate doesn't pass incomplete results.
    :param rows_path: path or URL of Airflow's object storage to write the evaluations to. Default: none.
        (templated)
    :param rows_format: ``jsonl`` (default) or ``parquet``, which needs pyarrow.
    :param rows_conn_id: Airflow connection of the object storage. (templated)
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong, the run is not finished, or it has no window.
    :raises EvalResultsIncomplete: evaluations are missing after ``complete_within``.
    :raises CallError: Arize rejected a request or could not be reached.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "run_id",
        "online_task_id",
        "data_start_time",
        "data_end_time",
        "evaluators",
        "group_by",
        "rows_path",
        "rows_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"evaluators": "json"}
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())

    def __init__(
        self,
        *,
        run_id: str | XComArg | None = None,
        online_task_id: str | XComArg | None = None,
        data_start_time: datetime | str | XComArg | None = None,
        data_end_time: datetime | str | XComArg | None = None,
        evaluators: Sequence[str] | XComArg | None = None,
        direction: Literal["maximize", "minimize"] = MAXIMIZE,
        granularity: Granularity = "span",
        group_by: str | XComArg | None = None,
        max_segments: int = MAX_SEGMENTS,
        baseline: timedelta | float | None = None,
        complete_within: timedelta | float = COMPLETE_WITHIN,
        poll_interval: float = FIRST_PAUSE,
        on_incomplete: OnIncomplete = "fail",
        rows_path: str | ObjectStoragePath | XComArg | None = None,
        rows_format: RowsFormat = "jsonl",
        rows_conn_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.online_task_id = online_task_id
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.evaluators = evaluators
        self.direction = choice(direction, "direction", (MAXIMIZE, MINIMIZE))
        self.granularity = choice(granularity, "granularity", get_args(Granularity))
        self.group_by = group_by
        self.max_segments = whole_number(max_segments, "max_segments")
        self.baseline = None if baseline is None else positive_seconds(baseline, "baseline")
        is_read_once = complete_within in (0, timedelta())
        self.complete_within = 0.0 if is_read_once else positive_seconds(complete_within, "complete_within")
        self.poll_interval = positive_seconds(poll_interval, "poll_interval")
        self.on_incomplete = choice(on_incomplete, "on_incomplete", get_args(OnIncomplete))
        self.rows_path = rows_path
        self.rows_format = choice(rows_format, "rows_format", get_args(RowsFormat))
        self.rows_conn_id = rows_conn_id
        window = [online_task_id, data_start_time, data_end_time]
        if (run_id is None) == (online_task_id is None) or len({part is None for part in window}) > 1:
            raise InvalidInput("Set either run_id, or online_task_id with data_start_time and data_end_time.")
        for name in ("run_id", "online_task_id"):
            if getattr(self, name) is not None:
                check_id(getattr(self, name), name)
        if online_task_id is not None:
            check_window_literals(data_start_time, data_end_time)
        if not is_templated(evaluators):
            self._evaluator_names()
        for name in ("group_by", "rows_conn_id"):
            if getattr(self, name) is not None:
                check_name(getattr(self, name), name)
        self._check_rows_path()

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the evaluations and return a summary; while evaluations are missing, defer and read again."""
        return self._read(context)

    def execute_complete(
        self, context: Context, event: Any, pauses: int = 0, deadline: float | None = None
    ) -> dict[str, Any]:
        """Read again after a pause.

        :param pauses: how many pauses there were.
        :param deadline: until when evaluations may be missing.
        """
        return self._read(context, pauses=pauses, deadline=deadline)

    def _read(self, context: Context, *, pauses: int = 0, deadline: float | None = None) -> dict[str, Any]:
        from airflow_provider_online_tasks.results.reading import Reader, project_of

        names, group_by = self._evaluator_names(), self._group_by()
        with self.hook as hook, self._open_rows() as rows:
            run, task_id, window = self._run_and_window(hook)
            task = hook.get_task(task_id)
            project_id = project_of(task)
            reader = Reader(
                hook.client,
                task,
                evaluators=names,
                granularity=self.granularity,
                group_by=group_by,
                log=self.log,
            )
            results = self._empty_results(task_id, run, names)
            reader.read(window, results, rows)
            completeness = _completeness(results, run, names, task.evaluators)
            if run is not None and completeness.complete is False:
                self._pause_if_time_is_left(context, run, completeness.read, pauses, deadline)
            self.links = links = hook.links_of(
                project_id=project_id, evaluator_ids=task.evaluator_ids, window=window
            )
            summary: dict[str, Any] = {
                "run_id": run.id if run else None,
                "online_task_id": task_id,
                "project_id": project_id,
                "arize_url": hook.settings.endpoint.app_url,
                **_window_summary(window),
                **asdict(completeness),
                "skipped": run.counts.skipped if run else None,
                "errors": run.counts.errors if run else None,
                "duplicate_spans": results.duplicates,
                **results.summary(),
                "baseline": self._read_baseline(reader, window, task_id, run, tuple(results.by_evaluator)),
                "rows_path": None if self.rows_path is None else str(self.rows_path),
                "rows_written": rows.count if rows else 0,
            }
            reader.describe_examples(window, summary, links.span)
        from airflow_provider_online_tasks.results.history import RESULTS_KEY, results_record

        context["ti"].xcom_push(key=RESULTS_KEY, value=results_record(summary, spans_url=links.spans))
        self._log_summary(summary)
        if completeness.complete is False:
            self._handle_incomplete(context, summary)
        self._report(context, run, summary)
        return summary

    def _run_and_window(self, hook: OnlineTasksHook) -> tuple[TaskRun | None, str, DataWindow]:
        from airflow_provider_online_tasks.results.reading import task_and_window

        if self.run_id is None:
            task_id = read_id(self.online_task_id, "online_task_id")
            return None, task_id, DataWindow.read(self.data_start_time, self.data_end_time)
        run = hook.get_task_run(read_id(self.run_id, "run_id"))
        return run, *task_and_window(run)

    def _empty_results(self, task_id: str, run: TaskRun | None, names: Sequence[str]) -> Results:
        from airflow_provider_online_tasks.results.summary import Results

        return Results(
            run_id=run.id if run else None,
            online_task_id=task_id,
            evaluators=names,
            direction=self.direction,
            granularity=self.granularity,
            group_by=self._group_by(),
            max_segments=self.max_segments,
        )

    def _pause_if_time_is_left(
        self, context: Context, run: TaskRun, read: int, pauses: int, deadline: float | None
    ) -> None:
        """Defer until the next read; return if the deadline has passed, which a retry doesn't extend."""
        now = time.time()
        if deadline is None:
            deadline = self.complete_within + (
                run.run_finished_at.timestamp() if run.run_finished_at else now
            )
        if now >= deadline:
            return
        seconds = min(self.poll_interval * 2**pauses, MAX_PAUSE, deadline - now)
        moment = datetime.fromtimestamp(now + seconds, UTC)
        self.log.info(
            "%d of %d evaluated items of run %s could be read. Reading again at %s, for the last time at %s.",
            read,
            run.counts.successes,
            run.id,
            wire_time(moment.replace(microsecond=0)),
            wire_time(datetime.fromtimestamp(int(deadline), UTC)),
        )
        self.pause_until(
            moment,
            context.get("ti"),
            method_name="execute_complete",
            kwargs={"pauses": pauses + 1, "deadline": deadline},
        )

    def _read_baseline(
        self, reader: Reader, window: DataWindow, task_id: str, run: TaskRun | None, names: Sequence[str]
    ) -> dict[str, Any] | None:
        """Return the results of the same evaluators in the time before the window."""
        from airflow_provider_online_tasks.results.reading import window_before

        if self.baseline is None:
            return None
        earlier = window_before(window, timedelta(seconds=self.baseline))
        results = self._empty_results(task_id, None, names)
        reader.read(earlier, results)
        summary = results.summary()
        for figures in summary["evaluators"].values():
            del figures["lowest_scoring_examples"]
        evaluated_until = (run.run_finished_at if run else None) or datetime.now(UTC)
        return {
            **_window_summary(earlier),
            "new_evaluator_versions": reader.new_evaluator_versions(earlier.start, evaluated_until),
            **summary,
        }

    def _log_summary(self, summary: Mapping[str, Any]) -> None:
        if summary["run_id"] is not None and summary["matched_by"] != "run_id":
            self.log.warning("Evaluations have no run ID, so all evaluations in the window are used.")
        for name, figures in summary["evaluators"].items():
            shares = ", ".join(
                f"{label} {entry['share']:.1%} ({entry['count']})"
                for label, entry in figures["labels"].items()
            )
            mean, invalid = figures["score_mean"], figures["invalid_scores"]
            self.log.info(
                "%s: %d evaluated, %d not evaluated. %s%s%s",
                name,
                figures["evaluated"],
                figures["not_evaluated"],
                shares or "No labels",
                "" if mean is None else f"; mean score {mean:.4g}",
                f"; {invalid} scores are not finite numbers" if invalid else "",
            )

    def _handle_incomplete(self, context: Context, summary: dict[str, Any]) -> None:
        message = f"The results of run {summary['run_id']} are incomplete: {summary['incomplete_reason']}."
        if self.on_incomplete == "fail":
            context["ti"].xcom_push(key="return_value", value=summary)
            raise EvalResultsIncomplete(
                f"{message} Clear the task to read again, or increase complete_within.", summary=summary
            )
        self.log.warning("%s", message)

    def _report(self, context: Context, run: TaskRun | None, summary: dict[str, Any]) -> None:
        """Add the results to the task's asset events and to OpenLineage."""
        labels = {
            name: {label: entry["share"] for label, entry in figures["labels"].items()}
            for name, figures in summary["evaluators"].items()
        }
        window = {key: summary[key] for key in ("online_task_id", "data_start_time", "data_end_time")}
        completeness = {key: summary[key] for key in ("complete", "expected", "read")}
        facts = {**(run.summary() if run else window), **completeness}
        update_asset_events(context, self.outlets, facts, labels=labels)
        self.keep_lineage(
            {**facts, "labels": labels}, namespace=summary["arize_url"], project_id=summary["project_id"]
        )

    def _evaluator_names(self) -> tuple[str, ...]:
        if self.evaluators is None:
            return ()
        given = [self.evaluators] if isinstance(self.evaluators, str) else self.evaluators
        names = read_names(given, "evaluators", such_as="['correctness']")
        if not names:
            raise InvalidInput("evaluators is empty. Leave it out to read all evaluators of the task.")
        return names

    def _group_by(self) -> str | None:
        return None if self.group_by is None else read_name(self.group_by, "group_by")

    def _check_rows_path(self) -> None:
        path: Any = self.rows_path
        if path is not None and not hasattr(path, "open"):
            check_name(path, "rows_path")

    @contextmanager
    def _open_rows(self) -> Iterator[RowWriter | None]:
        self._check_rows_path()
        if self.rows_path is None:
            yield None
            return
        check_installed(self.rows_format)
        conn_id = None if self.rows_conn_id is None else read_name(self.rows_conn_id, "rows_conn_id")
        with open_rows(self.rows_path, self.rows_format, conn_id=conn_id) as rows:
            yield rows


def _completeness(
    results: Results, run: TaskRun | None, names: Sequence[str], attached: Sequence[AttachedEvaluator]
) -> Completeness:
    from airflow_provider_online_tasks.api.responses import RunStatus
    from airflow_provider_online_tasks.results.completeness import check_completeness

    return check_completeness(
        results,
        expected=run.counts.successes if run else None,
        evaluators=len(set(names)) or len(attached),
        have_filters=any(evaluator.query_filter for evaluator in attached),
        errors=run.counts.errors if run else 0,
        status=run.status if run else RunStatus.COMPLETED,
    )


def _window_summary(window: DataWindow) -> dict[str, str]:
    return {"data_start_time": wire_time(window.start), "data_end_time": wire_time(window.end)}

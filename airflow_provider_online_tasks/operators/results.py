"""Read the evaluations of a run.

API: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, get_args

from airflow_provider_online_tasks._defaults import MAX_SEGMENTS
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.asset_events import tell_of_run
from airflow_provider_online_tasks.exceptions import (
    EvalResultsIncomplete,
    InvalidInput,
)
from airflow_provider_online_tasks.inputs import MAXIMIZE, MINIMIZE, DataWindow, read_id
from airflow_provider_online_tasks.inputs.arguments import (
    check_id,
    check_name,
    choice,
    positive_seconds,
    whole_number,
)
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.values import Granularity, read_name, read_names
from airflow_provider_online_tasks.operators.base import LineageOperator
from airflow_provider_online_tasks.results.evaluated_run import judged_by, project_of
from airflow_provider_online_tasks.results.history import (
    RESULTS_KEY,
    results_record,
)
from airflow_provider_online_tasks.results.rows import RowsFormat, RowWriter, check_installed, open_rows
from airflow_provider_online_tasks.runs.window import check_window_literals
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_online_tasks.api.responses.runs import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.results.reading import Look, Reader
    from airflow_provider_online_tasks.results.statistics import Results

OnIncomplete = Literal["fail", "warn"]
# Arize's index of evaluations lags by one to two hours.
COMPLETE_WITHIN = timedelta(hours=2)
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 600.0


class EvalResultsOperator(LineageOperator):
    """Read the evaluations of a finished run, and return a summary.

    Give the run's ID, or the task and a window. The summary (XCom) holds per evaluator: ``evaluated``,
    ``not_evaluated`` (spans that carry no evaluation of it), ``labels`` (count and share of each),
    ``score_mean``, ``score_variance``, ``score_quantiles`` (p05 to p95), ``invalid_scores`` (scores such as
    NaN), ``evaluator_versions``, ``segments``, and ``lowest_scoring_examples``, at most 20 examples with
    input, output, explanation and link.

    ``complete`` says whether all evaluations of the run could be read: ``read`` is compared with
    ``expected``, the run's own count. Arize's index lags, so until they agree the task waits in the
    triggerer and reads again, after pauses that double from ``poll_interval`` to 10 minutes. ``complete`` is
    None if that is not known.

    The spans are paged through and counted: memory stays the same whatever the window.

    :param run_id: the run's ID. (templated)
    :param online_task_id: the task, in place of a run. (templated)
    :param data_start_time: begin of the window, with ``online_task_id``. (templated)
    :param data_end_time: end of the window, with ``online_task_id``. (templated)
    :param evaluators: column names of the evaluators to read. Default: those that the evaluations' metadata
        or the task name. (templated)
    :param direction: whether a high score is good: ``maximize`` (default) or ``minimize``.
    :param granularity: what the evaluators judge: ``span`` (default), ``trace`` or ``session``.
    :param group_by: an attribute such as ``attributes.llm.model_name``, whose values make the segments.
        (templated)
    :param max_segments: how many segments the summary has, the largest ones. Default 20; the rest is
        ``(other)``.
    :param baseline: length of the time before the window whose evaluations by the same evaluators are read
        too, for ``max_drop`` of the gate; a timedelta or seconds. Default: none.
    :param complete_within: how long after the run's end its evaluations may take to be readable; a timedelta
        or seconds. Default: 2 hours. 0 reads once.
    :param poll_interval: seconds before the second read. Default 15.
    :param on_incomplete: what happens when the time is over and evaluations are missing: ``fail`` (default)
        or ``warn``, which returns what could be read; a gate does not let that pass.
    :param rows_path: where the rows are written, a path or URL of Airflow's object storage. Default: nowhere.
        (templated)
    :param rows_format: ``jsonl`` (default) or ``parquet``, which needs pyarrow.
    :param rows_conn_id: Airflow connection of the object storage. (templated)
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong, the run is not over, or its evaluators are not known.
    :raises EvalResultsIncomplete: evaluations are missing when the time is over.
    :raises CallError: Arize refused or could not be reached.
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
        self.complete_within = (
            0.0
            if complete_within in (0, timedelta())
            else positive_seconds(complete_within, "complete_within")
        )
        self.poll_interval = positive_seconds(poll_interval, "poll_interval")
        self.on_incomplete = choice(on_incomplete, "on_incomplete", get_args(OnIncomplete))
        self.rows_path = rows_path
        self.rows_format = choice(rows_format, "rows_format", get_args(RowsFormat))
        self.rows_conn_id = rows_conn_id
        if (run_id is None) == (online_task_id is None):
            raise InvalidInput(
                "Give either run_id, or online_task_id with data_start_time and data_end_time."
            )
        if (online_task_id is None) != (data_start_time is None) or (online_task_id is None) != (
            data_end_time is None
        ):
            raise InvalidInput("online_task_id, data_start_time and data_end_time go together.")
        for name, given in (("run_id", run_id), ("online_task_id", online_task_id)):
            if given is not None:
                check_id(given, name)
        if online_task_id is not None:
            check_window_literals(data_start_time, data_end_time)
        if not is_templated(evaluators):
            self._evaluator_names()
        for name, text in (("group_by", group_by), ("rows_conn_id", rows_conn_id)):
            if text is not None:
                check_name(text, name)
        self._check_rows_path()

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, count, and write the rows if asked to; wait until everything is readable."""
        return self._read(context, {})

    def execute_complete(self, context: Context, event: Any) -> dict[str, Any]:
        """Read again after a pause."""
        from airflow_provider_online_tasks.triggers.pause import read_pause_event

        return self._read(context, read_pause_event(event))

    def _read(self, context: Context, earlier: Mapping[str, Any]) -> dict[str, Any]:
        """Read the evaluations; defer if some are missing and there is time left.

        :param earlier: what the read before this one left: the run, the deadline, the number of pauses, and
            where something was missing.
        """
        from airflow_provider_online_tasks.api.responses.runs import RunStatus, TaskRun
        from airflow_provider_online_tasks.results.reading import Look, Reader, whole

        self._check_rows()
        names, group_by = self._evaluator_names(), self._group_by()
        run: TaskRun | None
        with self.hook as hook:
            if earlier:
                run = TaskRun.from_summary(earlier["run"])
                task_id, window = judged_by(run)
            else:
                run, task_id, window = self._subject(hook)
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
            results = self._results(run, task_id, names)
            expected = run.counts.successes if run else None
            deadline = float(earlier["deadline"]) if earlier else self._deadline(run)
            if expected is not None and earlier.get("look") and time.time() < deadline:
                look = Look.from_json(earlier["look"])
                found = reader.count_again(look, lambda: self._results(run, task_id, names))
                if found < expected:
                    self._pause(context, run=run, read=found, deadline=deadline, earlier=earlier, look=look)
            with self._rows() as rows:
                look = reader.read(window, results, rows)
                written = rows.count if rows is not None else 0
                state = whole(
                    results,
                    expected=expected,
                    evaluators=len(set(names) or task.evaluators),
                    have_filters=any(one.query_filter for one in task.evaluators),
                    ended=run.status if run else RunStatus.COMPLETED,
                    errors=run.counts.errors if run else 0,
                )
                if state.complete is False and time.time() < deadline:
                    self._pause(
                        context, run=run, read=state.read, deadline=deadline, earlier=earlier, look=look
                    )
            links = self.links = hook.links_of(
                project_id=project_id, evaluator_ids=task.evaluator_ids, window=window
            )
            summary: dict[str, Any] = {
                "run_id": run.id if run else None,
                "online_task_id": task_id,
                "project_id": project_id,
                "arize_url": hook.settings.endpoint.ui_url,
                **_window_summary(window),
                **state.summary(),
                "skipped": run.counts.skipped if run is not None else None,
                "errors": run.counts.errors if run is not None else None,
                "duplicate_spans": results.repeated,
                **results.summary(),
                "baseline": self._read_baseline(reader, task_id, run, window, tuple(results.found)),
                "rows_path": None if self.rows_path is None else str(self.rows_path),
                "rows_written": written,
            }
            reader.describe(window, summary, links)
        context["ti"].xcom_push(key=RESULTS_KEY, value=results_record(summary, spans_url=links.spans))
        self._say(summary)
        if state.complete is False:
            message = f"The results of run {summary['run_id']} are incomplete: {state.reason}."
            if self.on_incomplete == "fail":
                context["ti"].xcom_push(key="return_value", value=summary)
                raise EvalResultsIncomplete(
                    f"{message} Clear the task to look again, or give complete_within more time.",
                    summary=summary,
                )
            self.log.warning("%s", message)
        self._tell(context, run, summary)
        return summary

    def _results(self, run: TaskRun | None, task_id: str, names: Sequence[str]) -> Results:
        from airflow_provider_online_tasks.results.statistics import Results

        return Results(
            run_id=run.id if run else None,
            online_task_id=task_id,
            evaluators=names,
            direction=self.direction,
            granularity=self.granularity,
            group_by=self._group_by(),
            max_segments=self.max_segments,
        )

    def _deadline(self, run: TaskRun | None) -> float:
        """Return until when evaluations may be missing, counted from the run's end: a retry adds no time."""
        ended = run.run_finished_at if run else None
        return (ended.timestamp() if ended else time.time()) + self.complete_within

    def _pause(
        self,
        context: Context,
        *,
        run: TaskRun | None,
        read: int,
        deadline: float,
        earlier: Mapping[str, Any],
        look: Look,
    ) -> NoReturn:
        """Wait in the triggerer before the next read."""
        from airflow_provider_online_tasks.triggers.pause import PauseTrigger

        assert run is not None  # noqa: S101  without a run nothing is expected, and nothing missing
        pauses = int(earlier.get("pauses", 0))
        seconds = min(self.poll_interval * 2**pauses, LONGEST_PAUSE)
        until = min(time.time() + seconds, deadline)
        self.log.info(
            "%d of %d evaluated items of run %s can be read. The next look is at %s; the last one at %s, "
            "%g s after the run's end (complete_within).",
            read,
            run.counts.successes,
            run.id,
            wire_time(datetime.fromtimestamp(int(until), UTC)),
            wire_time(datetime.fromtimestamp(int(deadline), UTC)),
            self.complete_within,
        )
        is_cheaper = self.granularity == "span" and look.saves_pages
        self.defer_in_try(
            context.get("ti"),
            trigger=PauseTrigger(
                until=until,
                payload={
                    "run": run.summary(),
                    "deadline": deadline,
                    "pauses": pauses + 1,
                    "look": look.to_json() if is_cheaper else None,
                },
            ),
            method_name="execute_complete",
        )

    def _read_baseline(
        self,
        reader: Reader,
        task_id: str,
        run: TaskRun | None,
        window: DataWindow,
        names: Sequence[str],
    ) -> dict[str, Any] | None:
        """Return what the same evaluators said of the time before the window."""
        if self.baseline is None:
            return None
        from airflow_provider_online_tasks.results.reading import before

        earlier = before(window, timedelta(seconds=self.baseline))
        results = self._results(None, task_id, names)
        reader.read(earlier, results)
        found = results.summary()
        for figures in found["evaluators"].values():
            del figures["lowest_scoring_examples"]
        judged_until = (run.run_finished_at if run else None) or datetime.now(UTC)
        return {
            **_window_summary(earlier),
            "new_evaluator_versions": reader.new_versions(earlier.start, judged_until),
            **found,
        }

    def _say(self, summary: Mapping[str, Any]) -> None:
        """Log what was found, an evaluator a line."""
        if summary["run_id"] is not None and summary["matched_by"] != "run_id":
            self.log.warning(
                "No evaluation names the run it is of: those of the task's evaluators in the window count."
            )
        for name, found in summary["evaluators"].items():
            shares = ", ".join(
                f"{label} {one['share']:.1%} ({one['count']})" for label, one in found["labels"].items()
            )
            mean, strange = found["score_mean"], found["invalid_scores"]
            self.log.info(
                "%s: %d evaluated, %d %ss without. %s%s%s",
                name,
                found["evaluated"],
                found["not_evaluated"],
                self.granularity,
                shares or "No labels",
                "" if mean is None else f"; mean score {mean:.4g}",
                f"; {strange} scores are no finite numbers" if strange else "",
            )

    def _tell(self, context: Context, run: TaskRun | None, summary: dict[str, Any]) -> None:
        """Report the results to the task's assets and to OpenLineage."""
        labels = {
            name: {label: one["share"] for label, one in found["labels"].items()}
            for name, found in summary["evaluators"].items()
        }
        window = {name: summary[name] for name in ("online_task_id", "data_start_time", "data_end_time")}
        whole = {name: summary[name] for name in ("complete", "expected", "read")}
        facts = {**(run.summary() if run else window), **whole}
        tell_of_run(context, self.outlets, facts, labels=labels)
        self.keep_lineage(
            {**facts, "labels": labels}, namespace=summary["arize_url"], project_id=summary["project_id"]
        )

    def _subject(self, hook: OnlineTasksHook) -> tuple[TaskRun | None, str, DataWindow]:
        if self.run_id is None:
            task_id = read_id(self.online_task_id, "online_task_id")
            return None, task_id, DataWindow.read(self.data_start_time, self.data_end_time)
        run = hook.get_task_run(read_id(self.run_id, "run_id"))
        return run, *judged_by(run)

    def _evaluator_names(self) -> tuple[str, ...]:
        if self.evaluators is None:
            return ()
        given = [self.evaluators] if isinstance(self.evaluators, str) else self.evaluators
        names = read_names(given, "evaluators", such_as="['correctness']")
        if not names:
            raise InvalidInput("evaluators is empty: leave it out for all evaluators of the task.")
        return names

    def _group_by(self) -> str | None:
        return None if self.group_by is None else read_name(self.group_by, "group_by")

    def _check_rows_path(self) -> None:
        path: Any = self.rows_path
        if path is not None and not hasattr(path, "open"):
            check_name(path, "rows_path")

    def _check_rows(self) -> None:
        self._check_rows_path()
        if self.rows_path is not None:
            check_installed(self.rows_format)

    @contextmanager
    def _rows(self) -> Iterator[RowWriter | None]:
        if self.rows_path is None:
            yield None
            return
        conn_id = None if self.rows_conn_id is None else read_name(self.rows_conn_id, "rows_conn_id")
        with open_rows(self.rows_path, self.rows_format, conn_id=conn_id) as rows:
            yield rows


def _window_summary(window: DataWindow) -> dict[str, str]:
    return {"data_start_time": wire_time(window.start), "data_end_time": wire_time(window.end)}

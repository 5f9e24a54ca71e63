"""Read the evaluations of a run.

API: https://arize.com/docs/api-reference/spans/list-spans
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_online_tasks._airflow import AirflowTaskTimeout
from airflow_provider_online_tasks._defaults import MAX_SEGMENTS, SESSION_ID
from airflow_provider_online_tasks._text import shown, shown_name
from airflow_provider_online_tasks._times import parse_time, wire_time
from airflow_provider_online_tasks.exceptions import EvalResultsIncomplete, InvalidInput
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.arguments import MAXIMIZE, MINIMIZE, Granularity, Scope
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.operators.base import LineageOperator, update_asset_events
from airflow_provider_online_tasks.results.rows import RowsFormat, open_rows
from airflow_provider_online_tasks.runs.window import check_run_or_window
from airflow_provider_online_tasks.ui.links import EvaluatorLink, OnlineTaskRunLink, ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

    from airflow_provider_online_tasks.api.responses import TaskRun
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.results.reading import Completeness, Reader
    from airflow_provider_online_tasks.results.summary import Results

OnIncomplete = Literal["fail", "warn"]
# Arize indexes evaluations one to two hours late.
COMPLETE_WITHIN = timedelta(hours=2)
FIRST_PAUSE, MAX_PAUSE = 15.0, 600.0
NO_VERSION: dict[str, str | None] = {"version_id": None, "version_since": None}


class EvalResultsOperator(LineageOperator):
    """Read the evaluations of a finished run, and return a summary.

    Set the run's ID, or the task and a window. The summary (XCom) has the counts, labels, scores, segments
    and examples of each evaluator. They are about the window: labels from before the run count too, and
    ``from_run`` and ``from_before`` say how many evaluations come from the run and how many don't.
    ``complete`` says whether all evaluations of the run were read: ``read`` is compared with ``expected``,
    the run's own count; None if that is unknown. Arize indexes evaluations late, so the task waits in the
    triggerer and reads everything again until the numbers agree; the pauses double from ``poll_interval`` to
    10 minutes.

    :param run_id: the run's ID. (templated)
    :param online_task_id: the task, instead of a run. (templated)
    :param data_start_time: start of the window, with ``online_task_id``. (templated)
    :param data_end_time: end of the window, with ``online_task_id``. (templated)
    :param scope: which evaluations count: ``window`` (default) for all by the task's evaluators on the
        matching spans of the window, or ``run`` for those of the run only.
    :param evaluators: column names of the evaluators to read. Default: those of the task. (templated)
    :param direction: whether a high score is good: ``maximize`` (default) or ``minimize``.
    :param granularity: what the evaluators evaluate: ``span`` (default), ``trace`` or ``session``.
    :param group_by: an attribute such as ``attributes.llm.model_name``, whose values are the segments.
        (templated)
    :param cluster_by: an attribute whose value says which spans resemble each other. Default: ``session.id``.
        Spans without it are clusters by their trace. None: all spans are independent. (templated)
    :param max_segments: maximum number of segments in the summary; the largest are kept and the others
        are counted as ``(other)``. Default 20.
    :param baseline: length of the time before the window whose evaluations by the same evaluators are read
        too, for ``max_drop`` of the gate; a timedelta or seconds. Default: none.
    :param human_labels: evaluator name to the name of the annotation config with which people label the same
        spans or traces, such as ``{"correctness": "correctness_review"}``. Default: none. (templated)
    :param human_sample: the result of ``SendSpansOperator`` that chose the spans for people, or a list of
        such results. Without it, it is unknown whether they are a random sample. (templated)
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
        "cluster_by",
        "human_labels",
        "human_sample",
        "rows_path",
        "rows_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(
        ("evaluators", "human_labels", "human_sample"), "json"
    )
    operator_extra_links = (OnlineTaskRunLink(), ProjectLink(), EvaluatorLink())

    def __init__(
        self,
        *,
        run_id: str | XComArg | None = None,
        online_task_id: str | XComArg | None = None,
        data_start_time: datetime | str | XComArg | None = None,
        data_end_time: datetime | str | XComArg | None = None,
        scope: Scope = "window",
        evaluators: Sequence[str] | XComArg | None = None,
        direction: Literal["maximize", "minimize"] = MAXIMIZE,
        granularity: Granularity = "span",
        group_by: str | XComArg | None = None,
        cluster_by: str | XComArg | None = SESSION_ID,
        max_segments: int = MAX_SEGMENTS,
        baseline: timedelta | float | None = None,
        human_labels: Mapping[str, str] | XComArg | None = None,
        human_sample: Any = None,
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
        self.scope = arguments.choice(scope, "scope", get_args(Scope))
        self.evaluators = evaluators
        self.direction = arguments.choice(direction, "direction", (MAXIMIZE, MINIMIZE))
        self.granularity = arguments.choice(granularity, "granularity", get_args(Granularity))
        self.group_by = group_by
        self.cluster_by = cluster_by
        self.max_segments = arguments.whole_number(max_segments, "max_segments")
        self.baseline = None if baseline is None else arguments.positive_seconds(baseline, "baseline")
        self.human_labels = human_labels
        self.human_sample = human_sample
        self._has_sample = human_sample is not None  # a template may be rendered to None
        is_read_once = complete_within in (0, timedelta())
        self.complete_within = (
            0.0 if is_read_once else arguments.positive_seconds(complete_within, "complete_within")
        )
        self.poll_interval = arguments.positive_seconds(poll_interval, "poll_interval")
        self.on_incomplete = arguments.choice(on_incomplete, "on_incomplete", get_args(OnIncomplete))
        self.rows_path = rows_path
        self.rows_format = arguments.choice(rows_format, "rows_format", get_args(RowsFormat))
        self.rows_conn_id = rows_conn_id
        self.window: DataWindow | None = None  # for map_index_template
        check_run_or_window(run_id, online_task_id, data_start_time, data_end_time)
        if scope == "run" and run_id is None:
            raise InvalidInput('scope="run" needs run_id. Set it, or leave out scope.')
        if not is_templated(evaluators):
            self._evaluator_names()
        if not is_templated(human_labels):
            self._human_labels()
        if not is_templated(human_sample):
            _read_samples(human_sample)
        for name in ("group_by", "cluster_by", "rows_path", "rows_conn_id"):
            value = getattr(self, name)
            if value is not None and not hasattr(value, "open"):
                arguments.check_name(value, name)

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the evaluations and return a summary; while evaluations are missing, defer and read again."""
        return self.execute_complete(context, None)

    def execute_complete(
        self,
        context: Context,
        event: Any,
        pauses: int = 0,
        deadline: float | None = None,
        task_deadline: float | None = None,
    ) -> dict[str, Any]:
        """Read, for the first time or again after a pause."""
        from airflow_provider_online_tasks.results.history import RESULTS_KEY, results_record
        from airflow_provider_online_tasks.results.human_labels import add_samples
        from airflow_provider_online_tasks.results.reading import Reader, expects_more_labels

        columns, samples = self._columns(), self._samples()
        rows_file = open_rows(self.rows_path, self.rows_format, conn_id=self.rows_conn_id)
        with self.hook as hook, rows_file as rows:
            run, task_id, window = self._find_window(hook)
            task = hook.get_task(task_id)
            reader = Reader(
                client=hook.client, task=task, log=self.log, run_id=run.id if run else None, **columns
            )
            results = self._new_results(reader, run)
            reader.read(window, results, rows)
            completeness = self._check_completeness(reader, results, run, window)
            if run is not None and (
                completeness.complete is False or expects_more_labels(results, run, task)
            ):
                self._pause_if_time_is_left(
                    context,
                    run,
                    completeness.read,
                    pauses=pauses,
                    deadline=deadline,
                    task_deadline=task_deadline,
                )
            self.links = links = hook.links_of(
                project_id=reader.project_id, evaluator_ids=task.evaluator_ids, window=window
            )
            versions = self._read_versions(context, reader, results, run, window)
            until = (run.run_finished_at if run else None) or datetime.now(UTC)
            summary: dict[str, Any] = {
                "run_id": run.id if run else None,
                "online_task_id": task_id,
                "project_id": reader.project_id,
                "arize_url": hook.settings.endpoint.app_url,
                **_window_summary(window),
                **asdict(completeness),
                "skipped": run.counts.skipped if run else None,
                "errors": run.counts.errors if run else None,
                "duplicate_spans": results.duplicates.count,
                **results.summary(),
                "new_evaluator_versions": reader.new_evaluator_versions(window.start, until),
                "baseline": self._read_baseline(reader, results, window, versions, until),
                "rows_path": str(self.rows_path) if rows else None,
                "rows_written": rows.count if rows else 0,
            }
            for name, figures in summary["evaluators"].items():
                figures.update(versions.get(name, NO_VERSION))
            add_samples(summary, samples)
            reader.describe_examples(window, summary, links.span)
        context["ti"].xcom_push(key=RESULTS_KEY, value=results_record(summary, spans_url=links.spans))
        self._report(context, run, summary)
        if completeness.complete is False:
            self._report_incomplete(context, summary)
        return summary

    def _find_window(self, hook: OnlineTasksHook) -> tuple[TaskRun | None, str, DataWindow]:
        """Return the run, if there is one, the ID of its task, and the window to read."""
        from airflow_provider_online_tasks.results.reading import task_and_window

        run: TaskRun | None = None
        if self.online_task_id is None:
            run = hook.get_task_run(arguments.read_id(self.run_id, "run_id"))
            task_id, self.window = task_and_window(run)
        else:
            task_id = arguments.read_id(self.online_task_id, "online_task_id")
            self.window = DataWindow.read(self.data_start_time, self.data_end_time)
        return run, task_id, self.window

    def _columns(self) -> dict[str, Any]:
        """Return what to read, as arguments of ``Reader``."""
        return {
            "evaluators": self._evaluator_names(),
            "granularity": self.granularity,
            "group_by": arguments.read_optional_name(self.group_by, "group_by"),
            "cluster_by": arguments.read_optional_name(self.cluster_by, "cluster_by"),
            "annotations": tuple(dict.fromkeys(self._human_labels().values())),
        }

    def _new_results(self, reader: Reader, run: TaskRun | None) -> Results:
        from airflow_provider_online_tasks.results.summary import Results

        human_labels = self._human_labels()
        if reader.names and (unknown := sorted(human_labels.keys() - set(reader.names))):
            raise InvalidInput(
                f"human_labels names {unknown[0]!r}, which is not an evaluator of the task. Its evaluators "
                f"are {', '.join(map(repr, reader.names))}."
            )
        return Results(
            run_id=run.id if run else None,
            online_task_id=reader.task.id,
            evaluators=reader.names,
            filtered=reader.filtered,
            scope=self.scope,
            direction=self.direction,
            granularity=self.granularity,
            group_by=reader.group_by,
            cluster_by=reader.cluster_by,
            max_segments=self.max_segments,
            human_labels=human_labels,
        )

    def _check_completeness(
        self, reader: Reader, results: Results, run: TaskRun | None, window: DataWindow
    ) -> Completeness:
        """Return how many evaluations of the run were read; check that they are of this granularity."""
        from airflow_provider_online_tasks.results.reading import check_completeness, has_nothing_to_add

        if results.spans and not results.evaluated:
            is_own = run is not None and not has_nothing_to_add(run)
            reader.check_granularity(window, run.id if run and is_own else None)
        return check_completeness(
            results,
            run,
            evaluators=len(set(reader.evaluators)) or len(reader.task.evaluators),
            missing=reader.missing_of_filtered(window, results),
        )

    def _read_baseline(
        self,
        reader: Reader,
        results: Results,
        window: DataWindow,
        versions: Mapping[str, Mapping[str, str | None]],
        until: datetime,
    ) -> dict[str, Any] | None:
        """Return the results of the time before the window, without examples and human labels."""
        if self.baseline is None:
            return None
        earlier = DataWindow(
            start=window.start - timedelta(seconds=self.baseline),
            end=window.start - timedelta(milliseconds=1),
        )
        earlier_results = replace(
            results, run_id=None, evaluators=tuple(results.by_evaluator), filtered=(), human_labels={}
        )
        reader.run_id, reader.annotations = None, ()
        reader.read(earlier, earlier_results)
        changed = reader.new_evaluator_versions(earlier.start, until)
        summary = {
            **_window_summary(earlier),
            "new_evaluator_versions": changed + _changed_versions(versions, earlier.start),
            **earlier_results.summary(),
        }
        for figures in summary["evaluators"].values():
            del figures["examples"]
        return summary

    def _report_incomplete(self, context: Context, summary: dict[str, Any]) -> None:
        """Raise because evaluations are missing, or log it."""
        message = f"The results of run {summary['run_id']} are incomplete: {summary['incomplete_reason']}."
        if self.on_incomplete == "fail":
            context["ti"].xcom_push(key="return_value", value=summary)
            raise EvalResultsIncomplete(
                f"{message} Clear the task to read again, or increase complete_within.", summary=summary
            )
        self.log.warning("%s", message)

    def _read_versions(
        self, context: Context, reader: Reader, results: Results, run: TaskRun | None, window: DataWindow
    ) -> dict[str, dict[str, str | None]]:
        """Return the Eval Hub version of each evaluator with evaluations of the run, and since which window.

        The record of the last earlier window says what the version was before.
        """
        from airflow_provider_online_tasks.results.history import RESULTS_KEY, version_times

        of_run = reader.versions_of_run(run) if run else {}
        version_ids = {name: of_run[name] for name in of_run.keys() & results.evaluators_of_run}
        record = None
        if version_ids:
            record = context["ti"].xcom_pull(
                task_ids=self.task_id,
                key=RESULTS_KEY,
                include_prior_dates=True,
                map_indexes=context["ti"].map_index,
            )
        times = version_times(record, version_ids, wire_time(window.start))
        return {
            name: {"version_id": version_id, "version_since": times.get(name)}
            for name, version_id in version_ids.items()
        }

    def _pause_if_time_is_left(
        self,
        context: Context,
        run: TaskRun,
        read: int,
        *,
        pauses: int,
        deadline: float | None,
        task_deadline: float | None,
    ) -> None:
        """Defer until the next read; return if the deadline has passed, which a retry doesn't extend."""
        now = time.time()
        if task_deadline is None and (limit := self.wait_limit()):
            task_deadline = now + limit[0]
        if deadline is None:
            end = run.run_finished_at.timestamp() if run.run_finished_at else now
            deadline = end + self.complete_within
        if now >= deadline:
            return
        if task_deadline is not None and now >= task_deadline:
            if not run.counts.successes:
                return  # the run has nothing to add, so none of its evaluations is missing
            raise AirflowTaskTimeout(
                f"Only {read} of {run.counts.successes} evaluated items of run {run.id} could be read within "
                f"execution_timeout ({self.execution_timeout}). A retry reads again."
            )
        last = min(deadline, task_deadline or deadline)
        seconds = min(self.poll_interval * 2 ** min(pauses, 20), MAX_PAUSE, last - now)
        moment = datetime.fromtimestamp(now + seconds, UTC)
        progress = f"{read} of {run.counts.successes} evaluated items of run {run.id} could be read."
        if not run.counts.successes:
            progress = f"Some spans have no label yet, although run {run.id} says that all have one."
        self.log.info(
            "%s Reading again at %s, for the last time at %s.",
            progress,
            wire_time(moment.replace(microsecond=0)),
            wire_time(datetime.fromtimestamp(int(last), UTC)),
        )
        self.pause_until(
            moment,
            context.get("ti"),
            method_name="execute_complete",
            kwargs={"pauses": pauses + 1, "deadline": deadline, "task_deadline": task_deadline},
        )

    def _report(self, context: Context, run: TaskRun | None, summary: dict[str, Any]) -> None:
        """Log the results, and add them to the task's asset events and to OpenLineage."""
        if self.scope != summary["scope"]:
            self.log.warning("No evaluation has a run ID, so the evaluations that name no other run count.")
        labels: dict[str, dict[str, float]] = {}
        for name, figures in summary["evaluators"].items():
            counts = figures["labels"]
            labels[name] = {label: each["share"] for label, each in counts.items()}
            shares = ", ".join(
                f"{shown_name(label)} {each['share']:.1%} ({each['count']})" for label, each in counts.items()
            )
            mean, invalid = figures["score_mean"], figures["invalid_scores"]
            self.log.info(
                "%s: %d evaluated (%d in this run, %d before), %d not evaluated. %s%s%s",
                shown_name(name),
                *(figures[key] for key in ("evaluated", "from_run", "from_before", "not_evaluated")),
                shares or "No labels",
                "" if mean is None else f"; mean score {mean:.4g}",
                f"; {invalid} scores are not finite numbers" if invalid else "",
            )
            if sum(map(bool, figures["evaluator_versions"])) > 1:
                version = figures["evaluator_version"]
                self.log.warning("%s: the evaluator version changed: %s", shown_name(name), version)
            if human_labels := figures.get("human_labels"):
                self._report_human_labels(shown_name(name), human_labels)
        if any(figures["from_before"] for figures in summary["evaluators"].values()):
            for new in summary["new_evaluator_versions"]:
                self.log.warning(
                    "Evaluations from before the run may be by an earlier evaluator version: version %s of "
                    "%s is used since %s.",
                    new["version_id"],
                    shown_name(new["evaluator"] or "the evaluator"),
                    new["since"],
                )
        window = {key: summary[key] for key in ("online_task_id", "data_start_time", "data_end_time")}
        completeness = {key: summary[key] for key in ("complete", "expected", "read")}
        facts = {**(run.summary() if run else window), **completeness, "labels": labels}
        update_asset_events(context, self.outlets, facts)
        self.keep_lineage(facts, namespace=summary["arize_url"], project_id=summary["project_id"])

    def _report_human_labels(self, name: str, found: dict[str, Any]) -> None:
        """Log what people say about an evaluator."""
        annotation, texts = shown_name(found["annotation"]), []
        for label, estimates in [(None, found["agreement"]), *found["labels"].items()]:
            share = estimates if label is None else estimates["share"]
            if share:
                what = "agreement" if label is None else f"calibrated {shown_name(label)}"
                texts.append(f"{what} {share['low']:.1%} to {share['high']:.1%}")
        self.log.info("%s: %d human labels in %s. %s", name, found["labelled"], annotation, "; ".join(texts))
        given = {label for stratum in found["strata"].values() for label in stratum["labels"]}
        if unknown := sorted(given - found["strata"].keys()):
            self.log.warning(
                "%s: people gave labels that the evaluator did not give: %s. A label in other case or spaces "
                "is another label.",
                name,
                ", ".join(map(shown, unknown[:5])),
            )

    def _evaluator_names(self) -> tuple[str, ...]:
        if self.evaluators is None:
            return ()
        given = [self.evaluators] if isinstance(self.evaluators, str) else self.evaluators
        names = arguments.read_names(given, "evaluators", such_as="['correctness']")
        if not names:
            raise InvalidInput("evaluators is empty. Leave it out to read all evaluators of the task.")
        return names

    def _human_labels(self) -> dict[str, str]:
        """Return the annotation config that each evaluator is compared with."""
        if self.human_labels is None:
            return {}
        if not isinstance(self.human_labels, Mapping) or not self.human_labels:
            raise InvalidInput(
                f"human_labels must be a dict of evaluators and annotation configs, such as "
                f"{{'correctness': 'correctness_review'}}, not {shown(self.human_labels)}."
            )
        if self.granularity == "session":
            raise InvalidInput("human_labels cannot be read for sessions. Remove it, or evaluate traces.")
        return {
            arguments.read_name(evaluator, "human_labels"): arguments.read_name(
                annotation, f"human_labels[{evaluator!r}]"
            )
            for evaluator, annotation in self.human_labels.items()
        }

    def _samples(self) -> list[Mapping[str, Any] | None]:
        """Return the samples that people were asked to label: none if human_sample is not set."""
        samples = _read_samples(self.human_sample) if self._has_sample else []
        evaluators = self._human_labels()
        for sample in filter(None, samples):
            if sample["evaluator"] not in evaluators:
                known = ", ".join(map(repr, evaluators)) or "none"
                raise InvalidInput(
                    f"human_sample has a sample of the evaluator {shown(sample['evaluator'])}, but the "
                    f"evaluators of human_labels are: {known}. Set both for the same evaluator."
                )
        return samples


def _read_samples(given: Any) -> list[Mapping[str, Any] | None]:
    """Return the samples in one or several results of ``SendSpansOperator``; None if a result has none."""
    samples = []
    for result in given if isinstance(given, list | tuple) else [given]:
        sample = result.get("sample", result) if isinstance(result, Mapping) else result
        keys = sample.keys() if isinstance(sample, Mapping) else ()
        if sample is not None and not {"evaluator", "is_random", "strata"} <= set(keys):
            raise InvalidInput(
                f"human_sample must be the result of a SendSpansOperator with sample, not {shown(result)}."
            )
        samples.append(sample)
    return samples


def _changed_versions(
    versions: Mapping[str, Mapping[str, str | None]], start: datetime
) -> list[dict[str, str | None]]:
    """Return the versions that are used since a time after a start."""
    return [
        {"evaluator": name, "version_id": version["version_id"], "since": since}
        for name, version in versions.items()
        if (since := version["version_since"]) is not None and parse_time(since) > start
    ]


def _window_summary(window: DataWindow) -> dict[str, str]:
    return {"data_start_time": wire_time(window.start), "data_end_time": wire_time(window.end)}

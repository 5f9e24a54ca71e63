"""Send spans on to where people look at them.

API: https://arize.com/docs/api-reference/annotation-queues and https://arize.com/docs/api-reference/datasets
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.exceptions import CallError, InvalidInput
from airflow_provider_online_tasks.inputs import DataWindow, read_id
from airflow_provider_online_tasks.inputs._arguments import check_id, check_name, whole_number
from airflow_provider_online_tasks.inputs._templating import is_templated
from airflow_provider_online_tasks.inputs._values import read_names
from airflow_provider_online_tasks.operators._base import OnlineTasksOperator
from airflow_provider_online_tasks.ui.links import ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.api.client import Client

MAX_SPANS = 500
ATTEMPTS = 3
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """A span that is sent on, and what was said of it."""

    span_id: str
    trace_id: str | None
    start_time: datetime
    label: str | None
    score: float | None
    explanation: str | None
    input: Any
    output: Any

    def example(self, evaluator: str) -> dict[str, Any]:
        """Return it as an example of a dataset; what is not there is left out."""
        fields = {
            "span_id": self.span_id,
            "trace_id": self.trace_id,
            "input": self.input,
            "output": self.output,
            "evaluator": evaluator,
            "label": self.label,
            "score": self.score,
            "explanation": self.explanation,
        }
        return {name: value for name, value in fields.items() if value is not None}


class SendSpansOperator(OnlineTasksOperator):
    """Send the spans of a run that an evaluator gave certain labels to an annotation queue or a dataset.

    A span that is there already, by its span ID, is not sent again: not by a retry, not by the next run, and
    not after a lost answer, which is looked for first. Two tasks that send the same spans to the same place
    at the same time can still both send them.

    XCom: ``{"selected": 12, "sent": 10, "already_there": 2, "left_out": 0, "span_ids": [...]}``, the IDs of
    those that were sent. ``left_out`` were more than ``max_spans``.

    :param run_id: the run. (templated)
    :param evaluator: column name of the evaluator whose labels select. (templated)
    :param labels: the labels that select a span. (templated)
    :param annotation_queue_id: the queue to send them to. (templated)
    :param dataset_id: the dataset to send them to, in place of a queue: input, output, label, score and
        explanation become an example. (templated)
    :param max_spans: most spans to send, the newest first. Default 500.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong, or the run is not over; when the DAG is parsed if it is a
        literal.
    :raises CallError: Arize refused or could not be reached.
    """

    template_fields: Sequence[str] = (
        "conn_id",
        "run_id",
        "evaluator",
        "labels",
        "annotation_queue_id",
        "dataset_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"labels": "json"}
    operator_extra_links = (ProjectLink(),)

    def __init__(
        self,
        *,
        run_id: str,
        evaluator: str,
        labels: Sequence[str],
        annotation_queue_id: str | None = None,
        dataset_id: str | None = None,
        max_spans: int = MAX_SPANS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.evaluator = evaluator
        self.labels = labels
        self.annotation_queue_id = annotation_queue_id
        self.dataset_id = dataset_id
        self.max_spans = whole_number(max_spans, "max_spans")
        if (annotation_queue_id is None) == (dataset_id is None):
            raise InvalidInput("Give either annotation_queue_id or dataset_id.")
        for name in ("run_id", "annotation_queue_id", "dataset_id"):
            if (value := getattr(self, name)) is not None:
                check_id(value, name)
        check_name(evaluator, "evaluator")
        if not is_templated(labels):
            self._wanted()

    def _wanted(self) -> frozenset[str]:
        labels = read_names(self.labels, "labels", such_as="['incorrect']")
        if not labels:
            raise InvalidInput(
                "labels is empty: name those whose spans are to be sent, such as ['incorrect']."
            )
        return frozenset(labels)

    def execute(self, context: Context) -> dict[str, Any]:
        """Select the spans, and send those that are not there yet."""
        from airflow_provider_online_tasks.results.reading import INPUT, OUTPUT, Reader

        wanted = self._wanted()
        with self.hook as hook:
            run = hook.get_task_run(read_id(self.run_id, "run_id"))
            if not run.is_over:
                raise InvalidInput(f"Run {run.id} is {run.status_text}: wait until it is over.")
            if run.task_id is None or run.data_start_time is None or run.data_end_time is None:
                raise InvalidInput(f"Run {run.id} has no window of spans.")
            window = DataWindow(start=run.data_start_time, end=run.data_end_time)
            task = hook.get_task(run.task_id)
            self.links = hook.links_of(project_id=task.project_id, window=window)
            reader = Reader(hook.client, task, evaluators=(self.evaluator,), log=self.log)
            is_dataset = self.dataset_id is not None
            chosen: dict[str, _Chosen] = {}
            selected: set[str] = set()
            for page in reader.pages(
                window, attributes=(INPUT, OUTPUT) if is_dataset else (), text_length=None
            ):
                for span in page:
                    for one in span.evaluations:
                        if one.name != self.evaluator or one.label not in wanted or not one.names(run.id):
                            continue
                        selected.add(span.span_id)
                        if len(chosen) < self.max_spans:
                            chosen[span.span_id] = _Chosen(
                                span_id=span.span_id,
                                trace_id=span.trace_id,
                                start_time=parse_time(span.start_time, "start_time"),
                                label=one.label,
                                score=one.score,
                                explanation=one.explanation,
                                input=span.attribute(INPUT),
                                output=span.attribute(OUTPUT),
                            )
            sent = self._send(hook.client, str(task.project_id), chosen) if chosen else []
        report = {
            "selected": len(selected),
            "sent": len(sent),
            "already_there": len(chosen) - len(sent),
            "left_out": len(selected) - len(chosen),
            "span_ids": sent,
        }
        self.log.info(
            "%d spans carry %s. Sent: %d; there already: %d; more than max_spans: %d.",
            report["selected"],
            ", ".join(sorted(wanted)),
            report["sent"],
            report["already_there"],
            report["left_out"],
        )
        return report

    def _send(self, client: Client, project_id: str, chosen: dict[str, _Chosen]) -> list[str]:
        """Send the spans that are not there, and look again wherever an answer was lost."""
        missing = self._missing(client, list(chosen))
        to_send = list(missing)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for call in self._calls(project_id, [chosen[span_id] for span_id in missing]):
                    client.send(call)
            except CallError as error:
                if not error.may_have_executed or attempt == ATTEMPTS:
                    raise
                self.log.warning("%s Whether the spans arrived is looked up.", error)
                missing = self._missing(client, to_send)
            else:
                break
        return to_send

    def _missing(self, client: Client, span_ids: Sequence[str]) -> list[str]:
        """Return which of these spans the queue or the dataset does not hold."""
        from airflow_provider_online_tasks.api.calls.reviews import list_dataset_spans, list_queue_spans

        there: set[str | None] = set()
        cursor = None
        while True:
            page = client.send(
                list_queue_spans(self.annotation_queue_id, cursor=cursor)
                if self.annotation_queue_id is not None
                else list_dataset_spans(str(self.dataset_id), cursor=cursor)
            )
            there.update(page.items)
            cursor = page.next_cursor
            if cursor is None:
                return [span_id for span_id in span_ids if span_id not in there]

    def _calls(self, project_id: str, chosen: Sequence[_Chosen]) -> Iterator[Any]:
        """Yield the requests, each no larger than Arize takes."""
        from airflow_provider_online_tasks.api.calls.reviews import (
            DATASET_EXAMPLES,
            QUEUE_DAYS,
            QUEUE_RECORDS,
            add_dataset_examples,
            add_queue_spans,
        )

        if self.annotation_queue_id is None:
            for begin in range(0, len(chosen), DATASET_EXAMPLES):
                part = chosen[begin : begin + DATASET_EXAMPLES]
                yield add_dataset_examples(
                    str(self.dataset_id), [one.example(self.evaluator) for one in part]
                )
            return
        for part in _stretches(chosen, timedelta(days=QUEUE_DAYS)):
            for first in range(0, len(part), QUEUE_RECORDS):
                group = part[first : first + QUEUE_RECORDS]
                times = [one.start_time for one in group]
                yield add_queue_spans(
                    self.annotation_queue_id,
                    project_id=project_id,
                    window=DataWindow(start=min(times), end=max(times) + _MILLISECOND),
                    span_ids=[one.span_id for one in group],
                )


def _stretches(chosen: Sequence[_Chosen], longest: timedelta) -> Iterator[list[_Chosen]]:
    """Yield the spans in groups, each of which covers no more than this time."""
    part: list[_Chosen] = []
    for one in sorted(chosen, key=lambda each: each.start_time):
        if part and one.start_time - part[0].start_time >= longest:
            yield part
            part = []
        part.append(one)
    if part:
        yield part

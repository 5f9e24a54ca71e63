"""Send spans on to where people look at them.

API: https://arize.com/docs/api-reference/annotation-queues and https://arize.com/docs/api-reference/datasets
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks._times import parse_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import read_id
from airflow_provider_online_tasks.inputs.arguments import check_id, check_name, whole_number
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.inputs.values import read_name, read_names
from airflow_provider_online_tasks.operators.base import OnlineTasksOperator
from airflow_provider_online_tasks.results.evaluated_run import judged_by, project_of
from airflow_provider_online_tasks.ui.links import ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.api.responses.spans import Evaluation, Span
    from airflow_provider_online_tasks.results.sending import ChosenSpan, Place

MAX_SPANS = 500


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
        run_id: str | XComArg,
        evaluator: str | XComArg,
        labels: Sequence[str] | XComArg,
        annotation_queue_id: str | XComArg | None = None,
        dataset_id: str | XComArg | None = None,
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

    def _place(self, evaluator: str) -> Place:
        from airflow_provider_online_tasks.results.sending import Dataset, Queue

        if self.annotation_queue_id is not None:
            return Queue(read_id(self.annotation_queue_id, "annotation_queue_id"))
        return Dataset(read_id(self.dataset_id, "dataset_id"), evaluator)

    def execute(self, context: Context) -> dict[str, Any]:
        """Select the spans, and send those that are not there yet."""
        from airflow_provider_online_tasks.results.reading import INPUT, OUTPUT, Reader
        from airflow_provider_online_tasks.results.sending import send

        wanted, evaluator = self._wanted(), read_name(self.evaluator, "evaluator")
        place = self._place(evaluator)
        with self.hook as hook:
            run = hook.get_task_run(read_id(self.run_id, "run_id"))
            task_id, window = judged_by(run)
            task = hook.get_task(task_id)
            project_id = project_of(task)
            self.links = hook.links_of(project_id=project_id, window=window)
            reader = Reader(hook.client, task, evaluators=(evaluator,), log=self.log)
            attributes = (INPUT, OUTPUT) if self.dataset_id is not None else ()
            chosen: dict[str, ChosenSpan] = {}
            selected: set[str] = set()
            for page in reader.pages(window, attributes=attributes, text_length=None):
                for span, one in _given(page, evaluator, wanted, run.id):
                    selected.add(span.span_id)
                    if len(chosen) < self.max_spans:
                        chosen[span.span_id] = _chosen(span, one)
            sent = send(hook.client, place, project_id, chosen, log=self.log) if chosen else []
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


def _given(
    spans: Iterable[Span], evaluator: str, labels: Collection[str], run_id: str
) -> Iterator[tuple[Span, Evaluation]]:
    """Yield the spans that an evaluator gave one of some labels in a run."""
    for span in spans:
        for one in span.evaluations:
            if one.name == evaluator and one.label in labels and one.names(run_id):
                yield span, one


def _chosen(span: Span, evaluation: Evaluation) -> ChosenSpan:
    from airflow_provider_online_tasks.results.reading import INPUT, OUTPUT
    from airflow_provider_online_tasks.results.sending import ChosenSpan

    return ChosenSpan(
        span_id=span.span_id,
        trace_id=span.trace_id,
        start_time=parse_time(span.start_time, "start_time"),
        label=evaluation.label,
        score=evaluation.score,
        explanation=evaluation.explanation,
        input=span.attribute(INPUT),
        output=span.attribute(OUTPUT),
    )

"""Send spans of a run to an annotation queue or a dataset.

API: https://arize.com/docs/api-reference/annotation-queues and https://arize.com/docs/api-reference/datasets
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.arguments import Granularity
from airflow_provider_online_tasks.inputs.templating import is_templated
from airflow_provider_online_tasks.operators.base import OnlineTasksOperator
from airflow_provider_online_tasks.ui.links import ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

MAX_SPANS = 500


class SendSpansOperator(OnlineTasksOperator):
    """Send the spans that an evaluator gave certain labels to an annotation queue or a dataset.

    The spans are those of a run's window, even if an earlier run or a continuous task evaluated them.
    A span that the queue or dataset already holds, by its span ID, is not sent again: not by a retry, not by
    the next run, and not after a lost response. Two tasks that send the same spans to the same place at the
    same time can both send them.

    XCom: ``{"selected": 12, "sent": 10, "already_there": 2, "left_out": 0, "span_ids": [...]}``.
    ``left_out`` counts the spans over ``max_spans``; ``span_ids`` are the IDs of the spans that were sent.

    :param run_id: global ID of the run whose window has the spans. (templated)
    :param evaluator: column name of the evaluator whose labels select spans. (templated)
    :param labels: the labels that select a span. (templated)
    :param granularity: what the evaluator evaluates: ``span`` (default), ``trace`` or ``session``. For traces
        and sessions, the span that carries the evaluation is sent.
    :param annotation_queue_id: global ID of the queue. (templated)
    :param dataset_id: global ID of the dataset, instead of a queue: input, output, label, score and
        explanation become an example. (templated)
    :param max_spans: largest number of spans to send, newest first. Default 500.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong (a literal one when the DAG is parsed), the run is not
        finished, its task has no such evaluator, or a label exists only in another case.
    :raises EvalResultsIncomplete: no evaluation by the evaluator could be read yet; a retry reads again.
    :raises CallError: Arize rejected a request or could not be reached.
    """

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
        granularity: Granularity = "span",
        max_spans: int = MAX_SPANS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.evaluator = evaluator
        self.labels = labels
        self.annotation_queue_id = annotation_queue_id
        self.dataset_id = dataset_id
        self.granularity = arguments.choice(granularity, "granularity", get_args(Granularity))
        self.max_spans = arguments.whole_number(max_spans, "max_spans")
        if (annotation_queue_id is None) == (dataset_id is None):
            raise InvalidInput("Set exactly one of annotation_queue_id and dataset_id.")
        arguments.check_id(run_id, "run_id")
        arguments.check_name(evaluator, "evaluator")
        if annotation_queue_id is not None:
            arguments.check_id(annotation_queue_id, "annotation_queue_id")
        if dataset_id is not None:
            arguments.check_id(dataset_id, "dataset_id")
        if not is_templated(labels):
            _read_labels(labels)

    template_fields: Sequence[str] = (
        "conn_id",
        *arguments.argument_names(__init__, besides={"granularity", "max_spans"}),
    )

    def execute(self, context: Context) -> dict[str, Any]:
        """Select the spans, and send those that are missing in the queue or dataset."""
        from airflow_provider_online_tasks.results import sending
        from airflow_provider_online_tasks.results.reading import Reader, task_and_window

        run_id, labels = arguments.read_id(self.run_id, "run_id"), _read_labels(self.labels)
        evaluator = arguments.read_name(self.evaluator, "evaluator")
        destination: sending.Destination
        if self.annotation_queue_id is not None:
            destination = sending.AnnotationQueue(
                arguments.read_id(self.annotation_queue_id, "annotation_queue_id")
            )
        else:
            destination = sending.Dataset(arguments.read_id(self.dataset_id, "dataset_id"))
        with self.hook as hook:
            run = hook.get_task_run(run_id)
            task_id, window = task_and_window(run)
            task = hook.get_task(task_id)
            if self.granularity != "span":
                # The filter selects traces with a matching span; the evaluation may be on another span.
                task = replace(task, query_filter=None)
            reader = Reader(
                client=hook.client,
                task=task,
                evaluators=(evaluator,),
                granularity=self.granularity,
                log=self.log,
            )
            self.links = hook.links_of(project_id=reader.project_id, window=window)
            selection = sending.select_spans(
                reader.pages(window), evaluator=evaluator, labels=labels, max_spans=self.max_spans
            )
            sending.check_selection(selection, run, task, evaluator=evaluator, labels=labels)
            read_texts = partial(reader.spans_with_texts, window, text_length=None)
            sent = sending.SpanSending(
                hook=hook,
                destination=destination,
                project_id=reader.project_id,
                read_texts=None if self.dataset_id is None else read_texts,
                context=context,
                log=self.log,
            ).send(selection.spans)
        counts = {
            "selected": len(selection.spans) + selection.left_out,
            "sent": len(sent),
            "already_there": len(selection.spans) - len(sent),
            "left_out": selection.left_out,
        }
        self.log.info(
            "Spans with the labels %s: %d. Sent: %d; duplicates: %d; over max_spans: %d.",
            ", ".join(sorted(labels)),
            *counts.values(),
        )
        return {**counts, "span_ids": sent}


def _read_labels(labels: Any) -> frozenset[str]:
    read = arguments.read_names(labels, "labels", such_as="['incorrect']")
    if not read:
        raise InvalidInput("labels is empty. Name the labels whose spans to send, such as ['incorrect'].")
    return frozenset(read)

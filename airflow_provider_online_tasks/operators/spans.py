"""Send spans of a run to an annotation queue or a dataset.

API: https://arize.com/docs/api-reference/annotation-queues and https://arize.com/docs/api-reference/datasets
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs import arguments
from airflow_provider_online_tasks.inputs.arguments import Granularity
from airflow_provider_online_tasks.inputs.templating import is_templated, key_problem
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.operators.base import OnlineTasksOperator
from airflow_provider_online_tasks.runs.window import check_run_or_window
from airflow_provider_online_tasks.ui.links import ProjectLink

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_provider_online_tasks.results.selection import Selection, Shares
    from airflow_provider_online_tasks.results.sending import Destination

MAX_SPANS = 500


class SendSpansOperator(OnlineTasksOperator):
    """Send spans that an evaluator evaluated to an annotation queue or a dataset.

    Select the spans by their labels (``labels``), or a random sample for people to label (``sample``). The
    spans are those of the window, even if an earlier run or a continuous task evaluated them.

    A span that the queue or dataset already holds, by its span ID, is not sent again: not by a retry, not by
    the next run, and not after a lost response. Two tasks that send the same spans to the same place at the
    same time can both send them.

    A sample is drawn by a hash of the span ID. Each try selects the same spans, and a larger sample contains
    the smaller one. Evaluations that arrive between two tries can change it.

    XCom: ``{"selected": 12, "sent": 10, "already_there": 2, "left_out": 0, "span_ids": [...],
    "selected_span_ids": [...], "sample": {...}}``, each key also as a separate XCom. ``left_out`` counts the
    spans over ``max_spans``. ``span_ids`` are the IDs of the spans that were sent, ``selected_span_ids``
    those of all selected spans. ``sample`` has the ``evaluator``, the window, whether the selection
    ``is_random``, and in ``strata`` for each label of the evaluator how many ``spans`` have it and how many
    were ``selected``: each span of a label had the same probability ``selected / spans``.

    :param run_id: global ID of the run whose window has the spans. (templated)
    :param online_task_id: global ID of the task, with a window, instead of a run. (templated)
    :param data_start_time: start of the window, with ``online_task_id``. (templated)
    :param data_end_time: end of the window, with ``online_task_id``. (templated)
    :param evaluator: column name of the evaluator whose labels select spans. (templated)
    :param labels: the labels that select a span. (templated)
    :param sample: number of spans of a random sample, instead of ``labels``. (templated)
    :param shares: share of each label in the sample, such as ``{"correct": 0.75, "incorrect": 0.25}``. If a
        label has too few spans, the other labels fill the sample. Default ``"all"``: the sample is drawn
        from the spans of all labels together. (templated)
    :param granularity: what the evaluator evaluates: ``span`` (default), ``trace`` or ``session``. A queue
        gets traces as traces. Of sessions, and for datasets, the span that carries the evaluation is sent.
    :param annotation_queue_id: global ID of the queue. (templated)
    :param dataset_id: global ID of the dataset, instead of a queue: input, output, label, score and
        explanation become an example. (templated)
    :param max_spans: largest number of spans to send. Of the spans with ``labels``, the newest are sent.
        Default 500.
    :param conn_id: Airflow connection of type ``arize_online_tasks``. (templated)
    :raises InvalidInput: an argument is wrong (a literal one when the DAG is parsed), the run is not
        finished, its task has no such evaluator, a label exists only in another case, or no span has a label
        of ``shares`` while another label has no share.
    :raises EvalResultsIncomplete: no evaluation by the evaluator could be read yet; a retry reads again.
    :raises CallError: Arize rejected a request or could not be reached.
    """

    template_fields_renderers: ClassVar[dict[str, str]] = {"labels": "json", "shares": "json"}
    operator_extra_links = (ProjectLink(),)

    def __init__(
        self,
        *,
        run_id: str | XComArg | None = None,
        online_task_id: str | XComArg | None = None,
        data_start_time: datetime | str | XComArg | None = None,
        data_end_time: datetime | str | XComArg | None = None,
        evaluator: str | XComArg,
        labels: Sequence[str] | XComArg | None = None,
        sample: int | str | XComArg | None = None,
        shares: Mapping[str, float | str] | Literal["all"] | str | XComArg | None = None,
        annotation_queue_id: str | XComArg | None = None,
        dataset_id: str | XComArg | None = None,
        granularity: Granularity = "span",
        max_spans: int = MAX_SPANS,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.run_id = run_id
        self.online_task_id = online_task_id
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.evaluator = evaluator
        self.labels = labels
        self.sample = sample
        self.shares = shares
        self.annotation_queue_id = annotation_queue_id
        self.dataset_id = dataset_id
        self.granularity = arguments.choice(granularity, "granularity", get_args(Granularity))
        self.max_spans = arguments.whole_number(max_spans, "max_spans")
        if (annotation_queue_id is None) == (dataset_id is None):
            raise InvalidInput("Set exactly one of annotation_queue_id and dataset_id.")
        if (labels is None) == (sample is None):
            raise InvalidInput("Set exactly one of labels (all spans with these labels) and sample.")
        if shares is not None and sample is None:
            raise InvalidInput("shares needs sample, the number of spans. Set it, or leave out shares.")
        check_run_or_window(run_id, online_task_id, data_start_time, data_end_time)
        arguments.check_name(evaluator, "evaluator")
        if annotation_queue_id is not None:
            arguments.check_id(annotation_queue_id, "annotation_queue_id")
        if dataset_id is not None:
            arguments.check_id(dataset_id, "dataset_id")
        if labels is not None and not is_templated(labels):
            _read_labels(labels)
        if sample is not None and not is_templated(sample):
            _read_sample(sample, self.max_spans)
        if isinstance(shares, Mapping) and (problem := key_problem(shares)):
            raise InvalidInput(f"shares {problem}")
        if not is_templated(shares):
            _read_shares(shares)

    template_fields: Sequence[str] = (
        "conn_id",
        *arguments.argument_names(__init__, besides={"granularity", "max_spans"}),
    )

    def execute(self, context: Context) -> dict[str, Any]:
        """Select the spans, and send those that are missing in the queue or dataset."""
        from airflow_provider_online_tasks.results import selection as select
        from airflow_provider_online_tasks.results import sending
        from airflow_provider_online_tasks.results.reading import Reader, task_and_window

        evaluator = arguments.read_name(self.evaluator, "evaluator")
        is_random = self.sample is not None
        labels = frozenset() if is_random else _read_labels(self.labels)
        size = _read_sample(self.sample, self.max_spans) if is_random else 0
        shares = _read_shares(self.shares) if is_random else None
        destination = self._destination()
        with self.hook as hook:
            run = None
            if self.online_task_id is None:
                run = hook.get_task_run(arguments.read_id(self.run_id, "run_id"))
                task_id, window = task_and_window(run)
            else:
                task_id = arguments.read_id(self.online_task_id, "online_task_id")
                window = DataWindow.read(self.data_start_time, self.data_end_time)
            task = hook.get_task(task_id)
            reader = Reader(
                client=hook.client,
                task=task,
                evaluators=(evaluator,),
                granularity=self.granularity,
                run_id=run.id if run else None,
                log=self.log,
            )
            self.links = hook.links_of(project_id=reader.project_id, window=window)
            pages = reader.pages(window)
            if shares is not None:
                selection = select.sample_spans(pages, evaluator=evaluator, size=size, shares=shares)
            else:
                selection = select.select_spans(
                    pages, evaluator=evaluator, labels=labels, max_spans=self.max_spans
                )
            select.check_selection(selection, run, task, evaluator=evaluator, labels=labels, shares=shares)
            read_texts = partial(reader.spans_with_texts, window, text_length=None)
            sent = sending.SpanSending(
                hook=hook,
                destination=destination,
                project_id=reader.project_id,
                read_texts=None if self.dataset_id is None else read_texts,
                context=context,
                log=self.log,
            ).send(selection.spans)
        return self._summary(selection, sent, evaluator=evaluator, is_random=is_random, window=window)

    def _destination(self) -> Destination:
        from airflow_provider_online_tasks.results import sending

        if self.annotation_queue_id is None:
            return sending.Dataset(arguments.read_id(self.dataset_id, "dataset_id"))
        return sending.AnnotationQueue(
            arguments.read_id(self.annotation_queue_id, "annotation_queue_id"),
            kind="trace" if self.granularity == "trace" else "span",
        )

    def _summary(
        self, selection: Selection, sent: list[str], *, evaluator: str, is_random: bool, window: DataWindow
    ) -> dict[str, Any]:
        """Log what was selected and sent, and return it."""
        counts = {
            "selected": len(selection.spans) + selection.left_out,
            "sent": len(sent),
            "already_there": len(selection.spans) - len(sent),
            "left_out": selection.left_out,
        }
        by_label = selection.strata.items()
        parts = [f"{shown(label)} {each.selected} of {each.spans}" for label, each in by_label]
        self.log.info(
            "Selected %s spans by label: %s. Matching: %d; sent: %d; duplicates: %d; over max_spans: %d.",
            "random" if is_random else "the newest",
            ", ".join(parts) or "none",
            *counts.values(),
        )
        sample = {
            "evaluator": evaluator,
            "is_random": is_random,
            "strata": {label: each._asdict() for label, each in by_label},
            "data_start_time": wire_time(window.start),
            "data_end_time": wire_time(window.end),
        }
        selected = [each.id for each in selection.spans]
        return {**counts, "span_ids": sent, "selected_span_ids": selected, "sample": sample}


def _read_labels(labels: Any) -> frozenset[str]:
    read = arguments.read_names(labels, "labels", such_as="['incorrect']")
    if not read:
        raise InvalidInput("labels is empty. Name the labels whose spans to send, such as ['incorrect'].")
    return frozenset(read)


def _read_sample(sample: Any, max_spans: int) -> int:
    number = arguments.rendered_number(sample)
    if number is None or number < 1 or number % 1:
        raise InvalidInput(f"sample must be a positive integer, not {shown(sample)}.")
    if number > max_spans:
        raise InvalidInput(f"sample is {shown(sample)}, more than max_spans={max_spans}. Increase max_spans.")
    return int(number)


def _read_shares(shares: Any) -> Shares:
    """Return the share of each label, or ``all``."""
    if shares in (None, "all"):
        return "all"
    if not isinstance(shares, Mapping) or not shares:
        raise InvalidInput(
            f'shares must be "all", or the share of each label, such as {{"correct": 0.75, "incorrect": '
            f"0.25}}, not {shown(shares)}."
        )
    read = {}
    for label in arguments.read_names(list(shares), "The labels of shares", such_as="['correct']"):
        share = shares[label]
        number = arguments.rendered_number(share)
        if number is None or number <= 0:
            raise InvalidInput(f"shares[{shown(label)}] must be a number above 0, not {shown(share)}.")
        read[label] = number
    if not math.isclose(total := math.fsum(read.values()), 1, abs_tol=1e-6):
        raise InvalidInput(f"shares must add up to 1, not {total:g}.")
    return read

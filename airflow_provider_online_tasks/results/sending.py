"""Send spans to an annotation queue or a dataset, each span once.

A span is recognized by its ID, so the spans in the queue or dataset are listed before any are added.

API: https://arize.com/docs/api-reference/annotation-queues and https://arize.com/docs/api-reference/datasets
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.idempotency.create_once import CreateOnce
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore
from airflow_provider_online_tasks.inputs.windows import DataWindow

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.api.responses import Span
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.results.selection import SelectedSpan


@dataclass(frozen=True)
class AnnotationQueue:
    """An annotation queue, to which one request adds up to 500 spans or traces of up to seven days.

    A trace is recognized by its root span.
    """

    id: str
    kind: Literal["span", "trace"] = "span"

    def list_spans(self, cursor: str | None) -> calls.RestCall[calls.Page[str | None]]:
        """Return the call that lists the IDs of its spans."""
        return calls.list_queue_spans(self.id, cursor=cursor)

    def batches(self, spans: Sequence[SelectedSpan]) -> Iterator[Sequence[SelectedSpan]]:
        """Yield the spans in groups that one request may add."""
        batch: list[SelectedSpan] = []
        for span in sorted(spans, key=lambda span: span.start_time):
            if batch and (
                len(batch) == calls.QUEUE_RECORDS
                or span.start_time - batch[0].start_time >= timedelta(days=calls.QUEUE_DAYS)
            ):
                yield batch
                batch = []
            batch.append(span)
        if batch:
            yield batch

    def add(self, project_id: str, spans: Sequence[SelectedSpan]) -> calls.RestCall[None]:
        """Return the call that adds spans."""
        times = [span.start_time for span in spans]
        return calls.add_queue_records(
            self.id,
            project_id=project_id,
            window=DataWindow(start=min(times), end=max(times) + timedelta(milliseconds=1)),
            kind=self.kind,
            ids=[str(span.span.trace_id) if self.kind == "trace" else span.id for span in spans],
        )


@dataclass(frozen=True)
class Dataset:
    """A dataset, to which one request adds up to 1,000 examples."""

    id: str

    def list_spans(self, cursor: str | None) -> calls.RestCall[calls.Page[str | None]]:
        """Return the call that lists the IDs of its spans."""
        return calls.list_dataset_spans(self.id, cursor=cursor)

    def batches(self, spans: Sequence[SelectedSpan]) -> Iterator[Sequence[SelectedSpan]]:
        """Yield the spans in groups that one request may add."""
        for first in range(0, len(spans), calls.DATASET_EXAMPLES):
            yield spans[first : first + calls.DATASET_EXAMPLES]

    def add(self, project_id: str, spans: Sequence[SelectedSpan]) -> calls.RestCall[None]:
        """Return the call that adds spans."""
        return calls.add_dataset_examples(self.id, [span.example() for span in spans])


Destination = AnnotationQueue | Dataset


@dataclass(frozen=True, kw_only=True)
class SendIntent(Intent):
    """The intent to add the spans of one request to a queue or dataset."""

    destination_id: str
    span_ids: tuple[str, ...]


class SpanSending(CreateOnce[SendIntent, Destination]):
    """Adds the spans of a project to a queue or dataset that does not hold them yet."""

    noun: ClassVar[str] = "batch of spans"
    verb: ClassVar[str] = "add"

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        destination: Destination,
        project_id: str,
        read_texts: Callable[[Sequence[str]], Iterable[Span]] | None = None,
        context: Context,
        log: Any,
    ) -> None:
        super().__init__(hook=hook, intents=IntentStore(context, "sent_spans", SendIntent), log=log)
        self._destination = destination
        self._project_id = project_id
        self._read_texts = read_texts
        self._held: set[str | None] = set()
        self._batch: Sequence[SelectedSpan] = ()

    def send(self, spans: Sequence[SelectedSpan]) -> list[str]:
        """Add the spans that are missing in the queue or dataset, and return their IDs."""
        if not spans:
            return []
        earlier = self._intents.read()
        if earlier is not None and earlier.destination_id != self._destination.id:
            earlier = None  # the arguments changed
        self._search_for_earlier(earlier, self._intent(spans))
        self._list_held()
        missing = self._missing(spans)
        for batch in self._destination.batches(missing):
            self._batch = self._with_texts(batch)
            self._create_once(self._intent(batch))
        self._intents.delete()
        return [span.id for span in missing]

    def _intent(self, spans: Sequence[SelectedSpan]) -> SendIntent:
        span_ids = tuple(span.id for span in spans)
        return SendIntent(destination_id=self._destination.id, span_ids=span_ids)

    def _send_request(self) -> str:
        self._hook.client.send(self._destination.add(self._project_id, self._missing(self._batch)))
        return self._destination.id

    def _with_texts(self, spans: Sequence[SelectedSpan]) -> Sequence[SelectedSpan]:
        """Return the spans with input, output and explanation, unless they are too large to be read."""
        if self._read_texts is None:
            return spans
        complete = {span.span_id: span for span in self._read_texts([span.id for span in spans])}
        return [each.reread(complete[each.id]) if each.id in complete else each for each in spans]

    def _find_matching(self, intent: SendIntent) -> Iterator[Destination]:
        self._list_held()
        if self._held.issuperset(intent.span_ids):
            yield self._destination

    def _describe_created(self, intent: SendIntent, created_id: str) -> str:
        return f"{created_id} holds a batch of {len(intent.span_ids)} spans."

    def _list_held(self) -> None:
        self._held = set(self._list(self._destination.list_spans))

    def _missing(self, spans: Sequence[SelectedSpan]) -> list[SelectedSpan]:
        return [span for span in spans if span.id not in self._held]

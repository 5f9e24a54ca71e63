"""Create an annotation queue and the annotation config of its labels once.

Both are recognized by their exact names, which are unique in a space. So Arize itself shows what exists, on
each retry and on each day. Only a request that the server may still execute needs an intent.

API: https://arize.com/docs/api-reference/annotation-queues
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import AnnotationConfig, AnnotationQueue
from airflow_provider_online_tasks.exceptions import BadRequest, InvalidInput
from airflow_provider_online_tasks.idempotency.create_once import CreateOnce
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook

Named = TypeVar("Named", AnnotationConfig, AnnotationQueue)


@dataclass(frozen=True, kw_only=True)
class NamedIntent(Intent):
    """The intent to create an object with a name."""

    space_id: str
    name: str


class NamedCreation(CreateOnce[NamedIntent, Named], Generic[Named]):
    """Finds or creates an object whose name is unique in its space. ``fields`` are those of the request."""

    state_key: ClassVar[str]
    _created: Named

    def __init__(
        self, *, hook: OnlineTasksHook, fields: Mapping[str, Any], context: Context, log: Any
    ) -> None:
        super().__init__(hook=hook, intents=IntentStore(context, self.state_key, NamedIntent), log=log)
        self._fields = fields
        self._name: str = fields["name"]
        self._space_id: str = fields["space_id"]

    @abstractmethod
    def _create_call(self) -> calls.RestCall[Named]:
        """Return the call that creates the object."""

    @abstractmethod
    def _list_call(self, cursor: str | None) -> calls.RestCall[calls.Page[Named]]:
        """Return the call that lists the objects whose names contain the name."""

    def run(self) -> Named:
        """Return the object of this name, or a new one."""
        intent = NamedIntent(space_id=self._space_id, name=self._name)
        earlier = self._intents.read()
        if earlier is not None and (earlier.space_id, earlier.name) != (intent.space_id, intent.name):
            earlier = None  # the arguments changed
        found = self._search_for_earlier(earlier, intent) or self._find()
        if found is None:
            found = self._create(intent)
        else:
            self._log.info("The %s %s (%s) exists already.", self.noun, shown(self._name), found.id)
        self._intents.delete()
        return found

    def _create(self, intent: NamedIntent) -> Named:
        try:
            result = self._create_once(intent)
        except BadRequest:
            # Another process may have created it since the search.
            found = self._find()
            if found is None:
                raise
            return found
        return result.resource or self._created

    def _send_request(self) -> str:
        self._created = self._hook.client.send(self._create_call())
        return self._created.id

    def _find_matching(self, intent: NamedIntent) -> Iterator[Named]:
        if (found := self._find()) is not None:
            yield found

    def _find(self) -> Named | None:
        # Arize's filter also matches parts of a name.
        return next((each for each in self._list(self._list_call) if each.name == self._name), None)

    def _describe_created(self, intent: NamedIntent, created_id: str) -> str:
        return f"Created {self.noun} {created_id} ({intent.name!r})."


class ConfigCreation(NamedCreation[AnnotationConfig]):
    """Finds or creates the config of the labels that people can choose."""

    noun: ClassVar[str] = "annotation config"
    state_key: ClassVar[str] = "annotation_config"

    def _create_call(self) -> calls.RestCall[AnnotationConfig]:
        return calls.create_annotation_config(self._fields)

    def _list_call(self, cursor: str | None) -> calls.RestCall[calls.Page[AnnotationConfig]]:
        return calls.list_annotation_configs(self._name, self._space_id, cursor=cursor)

    def run(self) -> AnnotationConfig:
        """Return the config of this name with these labels."""
        config = super().run()
        wanted = [value["label"] for value in self._fields["values"]]
        if set(wanted) != set(config.labels):
            raise InvalidInput(
                f"The annotation config {shown(config.name)} ({config.id}) exists with the labels "
                f"{shown(list(config.labels))}, not {shown(wanted)}. Set these labels, or another name in "
                f"annotation."
            )
        return config


class QueueCreation(NamedCreation[AnnotationQueue]):
    """Finds or creates a queue."""

    noun: ClassVar[str] = "annotation queue"
    state_key: ClassVar[str] = "annotation_queue"

    def _create_call(self) -> calls.RestCall[AnnotationQueue]:
        return calls.create_annotation_queue(self._fields)

    def _list_call(self, cursor: str | None) -> calls.RestCall[calls.Page[AnnotationQueue]]:
        return calls.list_annotation_queues(self._name, self._space_id, cursor=cursor)

    def run(self) -> AnnotationQueue:
        """Return the queue of this name with this annotation config."""
        queue = super().run()
        [config_id] = self._fields["annotation_config_ids"]
        if config_id not in queue.config_ids:
            raise InvalidInput(
                f"The annotation queue {shown(queue.name)} ({queue.id}) exists without the annotation config "
                f"{config_id}. Add the config to the queue in Arize, or set another name."
            )
        return queue

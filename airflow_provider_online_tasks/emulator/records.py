"""What annotation queues and datasets share: named objects of the space, with items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import NotFoundError, RequestError
from airflow_provider_online_tasks.emulator.rest import checked_id, space_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_online_tasks.emulator.rest import Call
    from airflow_provider_online_tasks.emulator.state import EmulatorState

Record = dict[str, Any]


class Records:
    """The objects of one type."""

    def __init__(self, kind: str, type_name: str) -> None:
        self._kind = kind
        self._type_name = type_name

    def create(self, call: Call, name: str, space: str, **fields: Any) -> Record:
        """Return a new object; :meth:`save` stores it."""
        space_id(space)
        if any(each["name"] == name for each in call.state.storage.records(self._kind)):
            raise RequestError(409, f"The name {name!r} is already used in this space")
        number = call.state.storage.take_numbers(self._type_name)
        now = call.state.clock.stamp()
        return {
            "number": number,
            "id": ids.encode(self._type_name, number),
            "name": name,
            "space_id": ids.SPACE_ID,
            "created_at": now,
            "updated_at": now,
            "items": [],
            **fields,
        }

    def save(self, state: EmulatorState, record: Record) -> None:
        """Save an object."""
        state.storage.save_record(self._kind, record["number"], record)

    def get(self, call: Call, object_id: str | None = None) -> Record:
        """Return an object; None returns the object in the path."""
        wanted = checked_id(object_id or call.path[f"{self._kind}_id"], self._type_name)
        for record in call.state.storage.records(self._kind):
            if record["id"] == wanted:
                return record
        raise NotFoundError(f"{self._type_name} {wanted!r} not found")

    def listed(self, call: Call, field: str, show: Callable[[Record], Record] | None = None) -> Record:
        """Return a response with the matching objects, newest first."""
        found = [
            each
            for each in reversed(call.state.storage.records(self._kind))
            if call.in_space and call.matches_name(each["name"])
        ]
        return call.listed(field, found, lambda each: each["number"], show or shown)


def shown(record: Record) -> Record:
    """Return an object as responses contain it."""
    times = {name: write_time(record[name]) for name in ("created_at", "updated_at")}
    return {name: value for name, value in record.items() if name not in {"number", "items"}} | times


def listed_items(call: Call, field: str, record: Record, query: Mapping[str, str] | None = None) -> Record:
    """Return a response with the items of an object, oldest first."""
    numbered = list(enumerate(record["items"]))
    page, pagination = call.page(numbered, lambda each: -each[0], 500, query)
    return {field: [item for _, item in page], "pagination": pagination}

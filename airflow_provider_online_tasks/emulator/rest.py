"""What the REST endpoints of all resources share: operations, request bodies, pages, stored objects."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import read_time, write_time
from airflow_provider_online_tasks.emulator.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_online_tasks.emulator.state import EmulatorState

READ, WRITE = "queries_per_minute", "mutations_per_minute"
DAY = 86_400.0

# A date-time of a request, as epoch seconds.
Moment = Annotated[float, BeforeValidator(read_time)]
Text = Annotated[str, Field(min_length=1)]
Record = dict[str, Any]


class Body(BaseModel):
    """A request body: no other fields, and no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @property
    def given(self) -> dict[str, Any]:
        """The fields that the request contains, null included."""
        return {name: getattr(self, name) for name in self.model_fields_set}


@dataclasses.dataclass(frozen=True)
class Call:
    """A REST request whose body is validated."""

    state: EmulatorState
    operation: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    def id(self, name: str, type_name: str) -> str:
        """Return an ID in the path; reject one that cannot have this type."""
        return checked_id(self.path[name], type_name)

    @property
    def in_space(self) -> bool:
        """Whether the query asks for the only space."""
        name = self.query.get("space_name", "").lower()
        return self.query.get("space_id") in (None, ids.SPACE_ID) and name in ids.SPACE_NAME.lower()

    def matches_name(self, name: str) -> bool:
        """Whether a name contains the ``name`` of the query."""
        return self.query.get("name", "").lower() in name.lower()

    def page(
        self, items: Sequence[Any], key: Callable[[Any], Any], most: int = 100
    ) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return a page of items with falling keys, and its ``pagination``.

        A cursor is the list that it belongs to and the last key.
        """
        limit = self.query.get("limit", "50")
        count = int(limit) if limit.isdecimal() else 0
        if not 1 <= count <= most:
            raise RequestError(400, f"limit must be a number from 1 to {most}")
        if self.query.get("cursor"):
            try:
                same, after = json.loads(
                    base64.b64decode(self.query["cursor"], altchars=b"-_", validate=True)
                )
                after = tuple(after) if isinstance(after, list) else after
                items = [item for item in items if key(item) < after]
            except (binascii.Error, ValueError, TypeError) as error:
                raise RequestError(400, "cursor is not a cursor of this server") from error
            if same != self._list:
                raise RequestError(400, "cursor belongs to another list, or to other filters")
        page = items[:count]
        if len(page) == len(items):
            return page, {"has_more": False}
        last = json.dumps([self._list, key(page[-1])]).encode()
        return page, {"has_more": True, "next_cursor": base64.urlsafe_b64encode(last).decode()}

    @property
    def _list(self) -> str:
        """What a cursor belongs to: everything in the request but the page and its columns."""
        page = {"limit", "cursor", "included_columns", "excluded_columns", "truncate_string_length"}
        query = sorted((name, value) for name, value in self.query.items() if name not in page)
        body = self.body.model_dump_json(exclude=page) if self.body is not None else None
        content = json.dumps([self.operation, dict(self.path), query, body])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def listed(
        self,
        field: str,
        items: Sequence[Any],
        key: Callable[[Any], Any],
        show: Callable[[Any], Any] = lambda item: item,
    ) -> dict[str, Any]:
        """Return a response with a page of items."""
        page, pagination = self.page(items, key)
        return {field: [show(each) for each in page], "pagination": pagination}


class Operation(NamedTuple):
    """An endpoint.

    :param handler: returns the JSON document of the response, its bytes, or the response.
    :param main_field: the field of the response that a client needs most.
    :param body: the model of the request body; None ignores the body.
    :param budget: the rate limit that it counts against.
    :param invalid: the status if the body is JSON, but not valid.
    :param label: its name in faults and in the log, if the handler's name is not.
    """

    method: str
    path: str
    handler: Callable[[Call], Any]
    main_field: str = "id"
    body: type[BaseModel] | None = None
    status: int = 200
    budget: str | None = None
    invalid: int = 400
    label: str = ""

    @property
    def name(self) -> str:
        """The name of the operation, without ``rest.``."""
        return self.label or self.handler.__name__


def checked_id(value: str, type_name: str) -> str:
    """Return a global ID; reject one that cannot have this type."""
    decoded = ids.decode(value)
    if decoded is None:
        raise RequestError(400, f"{value!r} is not a global ID")
    if decoded.type != type_name:
        raise NotFoundError(f"{value!r} is the ID of a {decoded.type}, not of a {type_name}")
    return value


def project_id(value: str) -> str:
    """Return the ID of a project that exists."""
    if checked_id(value, "Model") not in ids.PROJECTS:
        raise NotFoundError(f"Project {value!r} not found")
    return value


def space_id(value: str) -> str:
    """Return the ID of the only space."""
    if checked_id(value, "Space") != ids.SPACE_ID:
        raise NotFoundError(f"Space {value!r} not found")
    return value


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

    def get(self, call: Call) -> Record:
        """Return the object in the path."""
        return self.find(call.state, call.path[f"{self._kind}_id"])

    def find(self, state: EmulatorState, object_id: str) -> Record:
        """Return an object."""
        for record in state.storage.records(self._kind):
            if record["id"] == checked_id(object_id, self._type_name):
                return record
        raise NotFoundError(f"{self._type_name} {object_id!r} not found")

    def reads(self, path: str) -> tuple[Operation, Operation]:
        """Return the operations that list the objects, newest first, and that return one of them."""

        def listed(call: Call) -> Record:
            found = [
                each
                for each in reversed(call.state.storage.records(self._kind))
                if call.in_space and call.matches_name(each["name"])
            ]
            return call.listed(f"{self._kind}s", found, lambda each: each["number"], shown)

        return (
            Operation("GET", path, listed, f"{self._kind}s", label=f"list_{self._kind}s"),
            Operation(
                "GET",
                f"{path}/{{{self._kind}_id}}",
                lambda call: shown(self.get(call)),
                label=f"get_{self._kind}",
            ),
        )


def shown(record: Record) -> Record:
    """Return an object as responses contain it."""
    times = {name: write_time(record[name]) for name in ("created_at", "updated_at")}
    hidden = {"number", "items", "assignment_method"}
    return {name: value for name, value in record.items() if name not in hidden} | times


def listed_items(call: Call, field: str, record: Record) -> Record:
    """Return a response with the items of an object, oldest first."""
    numbered = list(enumerate(record["items"]))
    page, pagination = call.page(numbered, lambda each: -each[0], 500)
    return {field: [item for _, item in page], "pagination": pagination}

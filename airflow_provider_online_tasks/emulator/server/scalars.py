"""The scalars of the GraphQL schema."""

from __future__ import annotations

import re
from typing import Any

from ariadne import ScalarType
from graphql import EnumValueNode

from airflow_provider_online_tasks.emulator.clock import read_time
from airflow_provider_online_tasks.emulator.graphql import coded_error


def scalars() -> list[ScalarType]:
    """Return the scalars."""
    return [
        ScalarType("DateTime", value_parser=_date_time),
        ScalarType("JSONObject", value_parser=_json_object),
        _open_enum("ExternalLLMProviderModel"),
        _open_enum("LLMIntegrationProvider"),
    ]


def _date_time(value: Any) -> float:
    try:
        return read_time(value)
    except ValueError as error:
        raise coded_error(f"DateTime cannot represent {value!r}: {error}", "BAD_USER_INPUT") from error


def _json_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise coded_error(f"JSONObject cannot represent {value!r}: expected an object", "BAD_USER_INPUT")
    return value


def _open_enum(name: str) -> ScalarType:
    """Return a scalar that reads as an enum, but accepts any value: the documented lists grow."""

    def parse_value(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*", value):
            raise coded_error(f'Value {value!r} does not exist in "{name}" enum.', "BAD_USER_INPUT")
        return value

    def parse_literal(node: Any, variables: Any = None) -> str:  # noqa: ARG001
        if not isinstance(node, EnumValueNode):
            raise coded_error(
                f'Enum "{name}" cannot represent a value that is not an enum.', "BAD_USER_INPUT"
            )
        return node.value

    return ScalarType(name, value_parser=parse_value, literal_parser=parse_literal)

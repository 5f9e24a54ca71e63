"""The scalars of the GraphQL schema, and the errors that say why a value is none of them."""

from __future__ import annotations

import re
from typing import Any

from ariadne import ScalarType
from graphql import EnumValueNode, GraphQLError

from airflow_provider_online_tasks.emulator.clock import read_time


def coded_error(message: str, code: str) -> GraphQLError:
    """Return an error with a code that a client can go by."""
    return GraphQLError(message, extensions={"code": code})


def scalars() -> list[ScalarType]:
    """Return the scalars."""
    date_time, json_object = ScalarType("DateTime"), ScalarType("JSONObject")

    @date_time.value_parser
    def parse_date_time(value: Any) -> float:
        if not isinstance(value, str):
            raise coded_error(f"DateTime cannot represent {value!r}", "BAD_USER_INPUT")
        try:
            return read_time(value)
        except ValueError as error:
            raise coded_error(
                f"DateTime cannot represent an invalid date-time-string {value!r}", "BAD_USER_INPUT"
            ) from error

    @json_object.value_parser
    def parse_json_object(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise coded_error(
                f"JSONObject cannot represent a value that is no object: {value!r}", "BAD_USER_INPUT"
            )
        return value

    return [
        date_time,
        json_object,
        _open_enum("ExternalLLMProviderModel"),
        _open_enum("LLMIntegrationProvider"),
    ]


def _open_enum(name: str) -> ScalarType:
    """Return a scalar that reads as an enum does, but knows no list of values."""
    scalar = ScalarType(name)

    @scalar.value_parser
    def parse_value(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_]\w*", value):
            raise coded_error(f'Value {value!r} does not exist in "{name}" enum.', "BAD_USER_INPUT")
        return value

    @scalar.literal_parser
    def parse_literal(node: Any, variables: Any = None) -> str:  # noqa: ARG001
        if not isinstance(node, EnumValueNode):
            raise coded_error(
                f'Enum "{name}" cannot represent a value that is no enum value.', "BAD_USER_INPUT"
            )
        return node.value

    return scalar

"""Responses: their values, or the exceptions that they mean."""

from __future__ import annotations

from airflow_provider_online_tasks.api.responses.no_response import no_response
from airflow_provider_online_tasks.api.responses.response import (
    GraphQLResult,
    Response,
    graphql_error,
    graphql_result,
    http_date,
    rest_value,
)

__all__ = [
    "GraphQLResult",
    "Response",
    "graphql_error",
    "graphql_result",
    "http_date",
    "no_response",
    "rest_value",
]

"""What may come back for a call: answers of bounded size, and the models that read them."""

from __future__ import annotations

from airflow_provider_online_tasks.api.responses.http import (
    Answer,
    GraphQLResult,
    graphql_error,
    graphql_result,
    http_date,
    rest_value,
    status_error,
)

__all__ = [
    "Answer",
    "GraphQLResult",
    "graphql_error",
    "graphql_result",
    "http_date",
    "rest_value",
    "status_error",
]

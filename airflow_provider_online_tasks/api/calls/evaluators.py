"""Evaluators of the Eval Hub, their versions, and Arize's own templates, over REST.

API: https://arize.com/docs/api-reference/evaluators
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api.calls import RestCall, _id, _part

EvaluatorType = Literal["TEMPLATE", "CODE", "HARNESS", "REMOTE"]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """An evaluator of the Eval Hub.

    :param id: its global ID.
    :param name: its name, unique in its space.
    :param type: what judges.
    """

    id: str
    name: str
    type: EvaluatorType

    @classmethod
    def from_wire(cls, value: Mapping[str, Any]) -> Evaluator:
        """Read an evaluator as REST v2 writes it."""
        kind = str(value["type"]).upper()
        if kind not in get_args(EvaluatorType):
            raise ValueError(f"type is {shown(value['type'])}")
        return cls(id=_id(value, "id"), name=str(value["name"]), type=cast("EvaluatorType", kind))


def get_evaluator(evaluator_id: str) -> RestCall[Evaluator]:
    """GET /v2/evaluators/{evaluator_id}."""
    return RestCall(
        name="get evaluator",
        method="GET",
        path=f"/v2/evaluators/{_part(evaluator_id)}",
        read=Evaluator.from_wire,
    )

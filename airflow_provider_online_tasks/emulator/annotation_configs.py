"""Annotation configs over REST: the names and the values of people's annotations."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from airflow_provider_online_tasks.emulator.records import Record, Records, shown
from airflow_provider_online_tasks.emulator.rest import Body, Call, Operation

CONFIGS = Records("annotation_config", "AnnotationConfig")
_FIELDS = {"CATEGORICAL": {"values"}, "CONTINUOUS": {"minimum_score", "maximum_score"}, "FREEFORM": set()}


class _Value(Body):
    label: Annotated[str, Field(min_length=1)]
    score: float | None = None


class _ConfigInput(Body):
    name: Annotated[str, Field(min_length=1)]
    space_id: str
    annotation_config_type: Literal["CATEGORICAL", "CONTINUOUS", "FREEFORM"]
    values: Annotated[list[_Value], Field(min_length=1)] | None = None
    minimum_score: float | None = None
    maximum_score: float | None = None
    optimization_direction: Literal["MAXIMIZE", "MINIMIZE", "NONE"] | None = None

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        needed = _FIELDS[self.annotation_config_type]
        if {name for name in set().union(*_FIELDS.values()) if getattr(self, name) is not None} != needed:
            fields = " and ".join(sorted(needed)) or "no values and scores"
            raise ValueError(f"an annotation config of type {self.annotation_config_type} needs {fields}")
        return self


def list_annotation_configs(call: Call) -> Record:
    """List the matching annotation configs, newest first."""
    return CONFIGS.listed(call, "annotation_configs")


def create_annotation_config(call: Call) -> Record:
    """Create an annotation config."""
    body: _ConfigInput = call.body
    kind = body.annotation_config_type
    fields = body.model_dump(include=_FIELDS[kind])
    if kind != "FREEFORM":
        fields["optimization_direction"] = body.optimization_direction or "NONE"
    config = CONFIGS.create(call, body.name, body.space_id, type=kind, **fields)
    CONFIGS.save(call.state, config)
    return shown(config)


def get_annotation_config(call: Call) -> Record:
    """Return an annotation config."""
    return shown(CONFIGS.get(call))


OPERATIONS = (
    Operation("GET", "/v2/annotation-configs", list_annotation_configs, "annotation_configs"),
    Operation("POST", "/v2/annotation-configs", create_annotation_config, body=_ConfigInput, status=201),
    Operation("GET", "/v2/annotation-configs/{annotation_config_id}", get_annotation_config),
)

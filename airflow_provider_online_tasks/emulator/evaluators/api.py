"""The Eval Hub over REST and GraphQL: evaluators, their versions, and Arize's templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, model_validator

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.clock import write_time
from airflow_provider_online_tasks.emulator.errors import InvalidError, RequestError
from airflow_provider_online_tasks.emulator.evaluators.hub import TEMPLATES
from airflow_provider_online_tasks.emulator.evaluators.kinds import KIND_OF_TYPE
from airflow_provider_online_tasks.emulator.graphql import USER, camel, connection
from airflow_provider_online_tasks.emulator.integrations import known_integration
from airflow_provider_online_tasks.emulator.rest import Body, Call, Operation, Text, checked_id, space_id
from airflow_provider_online_tasks.emulator.spans.filters import checked_filter

if TYPE_CHECKING:
    from graphql import GraphQLResolveInfo

    from airflow_provider_online_tasks.emulator.evaluators.hub import HubEvaluator, Version
    from airflow_provider_online_tasks.emulator.graphql import Context

Name = Annotated[str, Field(min_length=1, max_length=255)]
ColumnName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_\s\-&()]+$")]
DataGranularity = Literal["SPAN", "TRACE", "SESSION"]


def _null_is(default: str) -> BeforeValidator:
    return BeforeValidator(lambda value: default if value is None else value)


_NEEDED_PARAMETERS = {
    "MATCHES_REGEX": "pattern",
    "CONTAINS_ANY_KEYWORD": "keywords",
    "CONTAINS_ALL_KEYWORDS": "keywords",
}


class _LlmConfig(Body):
    ai_integration_id: Annotated[str, AfterValidator(known_integration)]
    model_name: Text
    invocation_parameters: dict[str, Any]
    provider_parameters: dict[str, Any]


class _TemplateConfig(Body):
    name: ColumnName
    template: Text
    include_explanations: bool
    # The TypeScript client sends the older name.
    use_function_calling: bool = Field(
        validation_alias=AliasChoices("use_function_calling", "use_function_calling_if_available")
    )
    use_structured_output: bool = True
    classification_choices: Annotated[dict[str, float], Field(min_length=1)] | None = None
    direction: Annotated[Literal["MAXIMIZE", "MINIMIZE", "NONE"], _null_is("MAXIMIZE")] = "MAXIMIZE"
    data_granularity: Annotated[DataGranularity, _null_is("SPAN")] = "SPAN"
    llm_config: _LlmConfig


class _Parameter(Body):
    name: Text
    type: Literal["STRING", "REGEX", "STRING_ARRAY"]
    default_value: str | list[str]

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if isinstance(self.default_value, list) != (self.type == "STRING_ARRAY"):
            raise ValueError(f"default_value does not fit the type {self.type}")
        return self


class _CodeConfig(Body):
    name: ColumnName
    data_granularity: DataGranularity | None = None
    query_filter: str | None = None
    variables: Annotated[list[Text], Field(min_length=1)]
    static_params: list[_Parameter] | None = None


class _ManagedCodeConfig(_CodeConfig):
    type: Literal["MANAGED"]
    managed_evaluator: Literal[
        "MATCHES_REGEX", "JSON_PARSEABLE", "CONTAINS_ANY_KEYWORD", "CONTAINS_ALL_KEYWORDS", "EXACT_MATCH"
    ]

    @model_validator(mode="after")
    def _has_parameters(self) -> Self:
        needed = _NEEDED_PARAMETERS.get(self.managed_evaluator)
        if needed is not None and needed not in {each.name for each in self.static_params or ()}:
            raise ValueError(f"static_params needs {needed!r} for {self.managed_evaluator}")
        return self


class _CustomCodeConfig(_CodeConfig):
    type: Literal["CUSTOM"]
    code: Text
    imports: str | None = None


class VersionInput(Body):
    """A new version of an evaluator."""

    commit_message: Annotated[str, Field(min_length=1, max_length=1000)]
    template_config: _TemplateConfig | None = None
    code_config: Annotated[_ManagedCodeConfig | _CustomCodeConfig, Field(discriminator="type")] | None = None


class _EvaluatorInput(Body):
    space_id: str
    name: Name
    description: str | None = None
    type: Literal["TEMPLATE", "CODE", "HARNESS", "REMOTE"]
    version: VersionInput


class _VersionIds(Body):
    version_ids: Annotated[
        list[Annotated[str, AfterValidator(lambda value: checked_id(value, "EvaluatorVersion"))]],
        Field(min_length=1, max_length=100),
    ]


def list_evaluators(call: Call) -> dict[str, Any]:
    """List the matching evaluators, the last updated first."""
    found = [each for each in call.state.hub.all() if call.in_space and call.matches_name(each.name)]
    return call.listed("evaluators", found, lambda each: (each.updated_at, each.number), _evaluator)


def create_evaluator(call: Call) -> dict[str, Any]:
    """Create an evaluator with its first version."""
    body: _EvaluatorInput = call.body
    space_id(body.space_id)
    if body.type not in KIND_OF_TYPE:
        raise InvalidError(f"This emulator has no evaluators of type {body.type}")
    evaluator = call.state.hub.create(
        name=body.name,
        description=body.description,
        type_name=body.type,
        config=_config(body.type, body.version),
        message=body.version.commit_message,
    )
    return {**_evaluator(evaluator), "version": _version(evaluator, evaluator.versions[-1])}


def get_evaluator(call: Call) -> dict[str, Any]:
    """Return an evaluator with a version, the newest by default."""
    evaluator = _evaluator_of(call)
    version_id = call.query.get("version_id")
    if version_id is not None:
        checked_id(version_id, "EvaluatorVersion")
    return {**_evaluator(evaluator), "version": _version(evaluator, evaluator.version(version_id))}


def delete_evaluator(call: Call) -> None:
    """Delete an evaluator with all its versions, unless a task uses it."""
    evaluator = _evaluator_of(call)
    users = [task.name for task in call.state.tasks.using(evaluator.id)]
    if users:
        raise RequestError(409, f"Evaluator {evaluator.name!r} is used by tasks: {', '.join(users)}")
    call.state.hub.delete(evaluator)


def list_evaluator_versions(call: Call) -> dict[str, Any]:
    """List the versions of an evaluator, newest first."""
    evaluator = _evaluator_of(call)
    numbered = list(enumerate(evaluator.versions))[::-1]
    return call.listed(
        "evaluator_versions", numbered, lambda each: each[0], lambda each: _version(evaluator, each[1])
    )


def create_evaluator_version(call: Call) -> dict[str, Any]:
    """Add a version."""
    evaluator = _evaluator_of(call)
    config = _config(evaluator.type, call.body)
    return _version(evaluator, call.state.hub.add_version(evaluator, config, call.body.commit_message))


def delete_evaluator_versions(call: Call) -> dict[str, Any]:
    """Delete versions; tasks that pin one of them use the newest version from now on."""
    evaluator, wanted = _evaluator_of(call), list(dict.fromkeys(call.body.version_ids))
    deleted = [each.id for each in evaluator.versions if each.id in wanted]
    if len(deleted) == len(evaluator.versions):
        raise RequestError(409, f"Keep at least one version of evaluator {evaluator.name!r}, or delete it")
    call.state.hub.delete_versions(evaluator, deleted)
    for task in call.state.tasks.using(evaluator.id):
        for each in task.evaluators:
            if each.evaluator_version_id in deleted:
                each.evaluator_version_id = None
        call.state.tasks.save(task)
    left = [each for each in wanted if each not in deleted]
    return {"completed": True, "deleted_version_ids": deleted, "not_deleted_version_ids": left}


def _evaluator_of(call: Call) -> HubEvaluator:
    return call.state.hub.get(call.id("evaluator_id", "Evaluator"))


def _evaluator(evaluator: HubEvaluator) -> dict[str, Any]:
    return {
        "id": evaluator.id,
        "name": evaluator.name,
        "description": evaluator.description or "",
        "type": evaluator.type,
        "space_id": ids.SPACE_ID,
        "created_at": write_time(evaluator.created_at),
        "updated_at": write_time(evaluator.updated_at),
        "created_by_user_id": ids.USER_ID,
    }


def _version(evaluator: HubEvaluator, version: Version) -> dict[str, Any]:
    return {
        "id": version.id,
        "evaluator_id": evaluator.id,
        "commit_hash": version.commit_hash,
        "commit_message": version.commit_message,
        "created_at": write_time(version.created_at),
        "created_by_user_id": ids.USER_ID,
        "type": evaluator.type,
        evaluator.kind.config_field: version.config,
    }


def _config(type_name: str, version: VersionInput) -> dict[str, Any]:
    """Return the definition of a version; reject a definition of another type."""
    field = KIND_OF_TYPE[type_name].config_field
    given = {name: config for name, config in version if name != "commit_message" and config is not None}
    config = given.pop(field, None)
    if config is None or given:
        raise InvalidError(f"version needs {field}, and no other definition, for the type {type_name}")
    if isinstance(config, _TemplateConfig):
        return config.model_dump()
    checked_filter(config.query_filter)
    return {**config.model_dump(exclude_unset=True), "data_granularity": config.data_granularity}


def evaluators(
    _: Any,
    info: GraphQLResolveInfo[Context],
    *,
    name: str | None = None,
    taskType: str | None = None,  # noqa: N803 -- the argument's name in the schema
    **page: Any,
) -> dict[str, Any]:
    """Resolve the evaluators of a space, the last updated first."""
    found = [evaluator(each) for each in info.context.state.hub.all()]
    matching = [
        each for each in found if name in (None, each["name"]) and taskType in (None, each["taskType"])
    ]
    return connection("Evaluator", matching, **page)


def evaluator(found: HubEvaluator) -> dict[str, Any]:
    """Return an evaluator with its newest version."""
    newest = found.versions[-1]
    return {
        **camel(_evaluator(found)),
        "taskType": found.kind.task_type.lower(),
        "commitHash": newest.commit_hash,
        "commitMessage": newest.commit_message,
        "tags": [],
        "createdBy": USER,
    }


_EVALUATOR = "/v2/evaluators/{evaluator_id}"
_VERSIONS = f"{_EVALUATOR}/versions"
OPERATIONS = (
    Operation("GET", "/v2/evaluators", list_evaluators, "evaluators"),
    Operation("POST", "/v2/evaluators", create_evaluator, body=_EvaluatorInput, status=201, invalid=422),
    Operation("GET", _EVALUATOR, get_evaluator),
    Operation("DELETE", _EVALUATOR, delete_evaluator, status=204),
    Operation("GET", _VERSIONS, list_evaluator_versions, "evaluator_versions"),
    Operation("POST", _VERSIONS, create_evaluator_version, body=VersionInput, status=201, invalid=422),
    Operation("DELETE", _VERSIONS, delete_evaluator_versions, "completed", _VersionIds),
    Operation(
        "GET",
        "/v2/evaluator-versions/{version_id}",
        lambda call: _version(*call.state.hub.get_version(call.id("version_id", "EvaluatorVersion"))),
        label="get_evaluator_version",
    ),
    Operation(
        "GET",
        "/v2/evaluator-templates",
        lambda _: {"evaluator_templates": TEMPLATES},
        "evaluator_templates",
        label="list_evaluator_templates",
    ),
)

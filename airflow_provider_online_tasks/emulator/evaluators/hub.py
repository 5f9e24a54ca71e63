"""The Eval Hub: built-in and created evaluators with their versions, and Arize's templates."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError
from airflow_provider_online_tasks.emulator.evaluators.kinds import KIND_OF_TYPE
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluator
from airflow_provider_online_tasks.emulator.integrations import INTEGRATIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.evaluators.kinds import Kind
    from airflow_provider_online_tasks.emulator.storage import Storage

_FIRST_NUMBER: Final = 1000  # lower numbers are those of the built-in evaluators

# Arize's prompt templates, as REST returns them.
TEMPLATES: Final[list[dict[str, Any]]] = json.loads(
    Path(__file__).with_name("templates.json").read_text(encoding="utf-8")
)
_BUILT_IN_CODE: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "output_present",
        "managed_evaluator": "MATCHES_REGEX",
        "static_params": [{"name": "pattern", "type": "REGEX", "default_value": "\\S"}],
    },
    {"name": "json_parseable", "managed_evaluator": "JSON_PARSEABLE"},
)


@dataclasses.dataclass(kw_only=True)
class Version:
    """A version of an evaluator; it never changes."""

    id: str
    commit_hash: str
    commit_message: str
    created_at: float
    config: dict[str, Any]


@dataclasses.dataclass(kw_only=True)
class HubEvaluator:
    """An evaluator of the Eval Hub with its versions, oldest first."""

    number: int
    id: str
    name: str
    description: str | None
    type: str
    created_at: float
    updated_at: float
    versions: list[Version]

    @property
    def kind(self) -> Kind:
        """The kind of evaluator."""
        return KIND_OF_TYPE[self.type]

    def version(self, version_id: str | None) -> Version:
        """Return a version of this evaluator; None returns the newest."""
        if version_id is None:
            return self.versions[-1]
        for version in self.versions:
            if version.id == version_id:
                return version
        raise InvalidError(f"{version_id!r} is not a version of evaluator {self.id!r}")

    def definition(self, version_id: str | None) -> dict[str, Any]:
        """Return the fields of :class:`Evaluator` that a version defines."""
        config = self.version(version_id).config
        return {
            "hub_name": self.name,
            "name": config["name"],
            "granularity": (config.get("data_granularity") or "SPAN").lower(),
            **self.kind.from_hub(config),
        }


class Hub:
    """The evaluators of the space, in memory and in the database."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._evaluators: dict[str, HubEvaluator] = {}
        for record in storage.records("evaluator"):
            versions = [Version(**each) for each in record.pop("versions")]
            self._evaluators[record["id"]] = HubEvaluator(**record, versions=versions)
        if self._evaluators:
            return
        for number, (type_name, config) in enumerate(_built_in(), 1):
            version = self._version(config, "Built in", number)
            self._add(number, version, name=config["name"], description=None, type=type_name)

    def all(self) -> list[HubEvaluator]:
        """Return all evaluators, the last updated first."""
        return sorted(self._evaluators.values(), key=lambda each: (-each.updated_at, -each.number))

    def get(self, evaluator_id: str) -> HubEvaluator:
        """Return an evaluator."""
        if evaluator_id not in self._evaluators:
            raise NotFoundError(f"Evaluator {evaluator_id!r} not found")
        return self._evaluators[evaluator_id]

    def get_version(self, version_id: str) -> tuple[HubEvaluator, Version]:
        """Return a version with its evaluator."""
        for evaluator in self.all():
            for version in evaluator.versions:
                if version.id == version_id:
                    return evaluator, version
        raise NotFoundError(f"Evaluator version {version_id!r} not found")

    def create(
        self, *, name: str, description: str | None, type_name: str, config: dict[str, Any], message: str
    ) -> HubEvaluator:
        """Create an evaluator with its first version."""
        if any(other.name == name for other in self.all()):
            raise InvalidError(f"An evaluator named {name!r} already exists in this space")
        number = _FIRST_NUMBER + self._storage.take_numbers("Evaluator")
        version = self._version(config, message)
        return self._add(number, version, name=name, description=description, type=type_name)

    def add_version(self, evaluator: HubEvaluator, config: dict[str, Any], message: str) -> Version:
        """Add a version; unless a task pins another one, its runs use it from now on."""
        version = self._version(config, message)
        evaluator.versions.append(version)
        evaluator.updated_at = version.created_at
        self._save(evaluator)
        return version

    def delete_versions(self, evaluator: HubEvaluator, version_ids: Collection[str]) -> None:
        """Delete some of the versions of an evaluator."""
        evaluator.versions = [each for each in evaluator.versions if each.id not in version_ids]
        self._save(evaluator)

    def delete(self, evaluator: HubEvaluator) -> None:
        """Delete an evaluator with all its versions."""
        del self._evaluators[evaluator.id]
        self._storage.delete_record("evaluator", evaluator.number)

    def attach(self, evaluator_id: str, version_id: str | None = None, **attachment: Any) -> Evaluator:
        """Return an evaluator as it is attached to a task; without a version, each run uses the newest."""
        evaluator = self.get(evaluator_id)
        return Evaluator(
            kind=evaluator.kind.name,
            evaluator_id=evaluator_id,
            evaluator_version_id=version_id,
            **{**evaluator.definition(version_id), **attachment},
        )

    def current(self, evaluator: Evaluator, task_llm: dict[str, Any] | None) -> Evaluator:
        """Return an evaluator of a task with the definition and the LLM that a run uses now."""
        if evaluator.evaluator_id is None:
            return dataclasses.replace(evaluator, llm=evaluator.llm or task_llm)
        definition = self.get(evaluator.evaluator_id).definition(evaluator.evaluator_version_id)
        return dataclasses.replace(evaluator, **definition)

    def _add(self, number: int, version: Version, **fields: Any) -> HubEvaluator:
        evaluator = HubEvaluator(
            number=number,
            id=ids.encode("Evaluator", number),
            created_at=version.created_at,
            updated_at=version.created_at,
            versions=[version],
            **fields,
        )
        self._evaluators[evaluator.id] = evaluator
        self._save(evaluator)
        return evaluator

    def _version(self, config: dict[str, Any], message: str, number: int | None = None) -> Version:
        if number is None:
            number = _FIRST_NUMBER + self._storage.take_numbers("EvaluatorVersion")
        content = json.dumps([number, config, message], sort_keys=True)
        return Version(
            id=ids.encode("EvaluatorVersion", number),
            commit_hash=hashlib.sha256(content.encode()).hexdigest(),
            commit_message=message,
            created_at=self._clock.stamp(),
            config=config,
        )

    def _save(self, evaluator: HubEvaluator) -> None:
        self._storage.save_record("evaluator", evaluator.number, dataclasses.asdict(evaluator))


def _built_in() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the type and the definition of each built-in evaluator."""
    shared = ("template", "classification_choices", "direction", "data_granularity")
    llm = {"ai_integration_id": INTEGRATIONS[0].id, "model_name": "gpt-4o", "provider_parameters": {}}
    for each in TEMPLATES:
        yield (
            "TEMPLATE",
            {
                "name": each["column_name"],
                **{name: each[name] for name in shared},
                "include_explanations": True,
                "use_function_calling": False,
                "use_structured_output": True,
                "llm_config": {**llm, "invocation_parameters": {"temperature": 0}},
            },
        )
    for config in _BUILT_IN_CODE:
        yield "CODE", {"type": "MANAGED", "variables": ["attributes.output.value"], **config}

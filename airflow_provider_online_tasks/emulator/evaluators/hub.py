"""The Eval Hub: built-in and created evaluators with their versions, and Arize's templates."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import InvalidError, NotFoundError
from airflow_provider_online_tasks.emulator.evaluators.kinds import KIND_OF_TYPE
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluator
from airflow_provider_online_tasks.emulator.integrations import INTEGRATIONS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.evaluators.kinds import Kind
    from airflow_provider_online_tasks.emulator.storage import Storage

_FIRST_NUMBER: Final = 1000  # lower numbers are those of the built-in evaluators


class Template(NamedTuple):
    """A prompt template of Arize."""

    name: str
    display_name: str
    template: str
    choices: dict[str, float]
    direction: str = "MAXIMIZE"
    data_granularity: str | None = None


_QUESTION = "Question: {input}\nHelp pages: {reference}\nAnswer: {output}\n"
TEMPLATES: Final = (
    Template(
        "correctness",
        "Correctness",
        f"{_QUESTION}Is the answer correct according to the help pages?",
        {"incorrect": 0.0, "correct": 1.0},
    ),
    Template(
        "hallucination",
        "Hallucination",
        f"{_QUESTION}Does the answer state anything that the help pages do not?",
        {"hallucinated": 0.0, "factual": 1.0},
    ),
    Template(
        "relevance",
        "Relevance",
        "Question: {input}\nDocuments: {reference}\nDo the documents help to answer the question?",
        {"irrelevant": 0.0, "relevant": 1.0},
    ),
    Template(
        "user_frustration",
        "User frustration",
        "Conversation: {conversation}\nDoes the user of this conversation become frustrated?",
        {"frustrated": 1.0, "ok": 0.0},
        direction="MINIMIZE",
        data_granularity="SESSION",
    ),
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
        self._check_name(name, None)
        number = _FIRST_NUMBER + self._storage.take_numbers("Evaluator")
        version = self._version(config, message)
        return self._add(number, version, name=name, description=description, type=type_name)

    def update(self, evaluator: HubEvaluator, changes: Mapping[str, Any]) -> None:
        """Change the name or the description of an evaluator."""
        if "name" in changes:
            self._check_name(changes["name"], evaluator)
        for field, value in changes.items():
            setattr(evaluator, field, value)
        evaluator.updated_at = self._clock.stamp()
        self._save(evaluator)

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
        """Return an evaluator as it is attached to a task.

        :param version_id: the version that all runs use; None for the newest at each run.
        :param attachment: the fields of :class:`Evaluator` that belong to the attachment.
        """
        evaluator = self.get(evaluator_id)
        return Evaluator(
            kind=evaluator.kind.name,
            evaluator_id=evaluator_id,
            evaluator_version_id=version_id,
            **{**evaluator.definition(version_id), **attachment},
        )

    def current(self, evaluator: Evaluator) -> Evaluator:
        """Return an evaluator of a task with the definition that a run uses now."""
        if evaluator.evaluator_id is None:
            return evaluator
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

    def _check_name(self, name: str, evaluator: HubEvaluator | None) -> None:
        if any(other.name == name and other is not evaluator for other in self.all()):
            raise InvalidError(f"An evaluator named {name!r} already exists in this space")


def _built_in() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the type and the definition of each built-in evaluator."""
    for each in TEMPLATES:
        yield (
            "TEMPLATE",
            {
                "name": each.name,
                "template": each.template,
                "classification_choices": each.choices,
                "direction": each.direction,
                "data_granularity": each.data_granularity,
                "include_explanations": True,
                "use_function_calling": False,
                "use_structured_output": True,
                "llm_config": {
                    "ai_integration_id": INTEGRATIONS[0].id,
                    "model_name": "gpt-4o",
                    "invocation_parameters": {"temperature": 0},
                    "provider_parameters": {},
                },
            },
        )
    for config in _BUILT_IN_CODE:
        yield "CODE", {"type": "MANAGED", "variables": ["attributes.output.value"], **config}

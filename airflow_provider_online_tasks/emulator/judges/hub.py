"""The Eval Hub: evaluators with versions, some of them there from the start, and Arize's own templates."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airflow_provider_online_tasks.emulator import ids
from airflow_provider_online_tasks.emulator.errors import RefusedInputError, UnknownObjectError
from airflow_provider_online_tasks.emulator.judges.evaluator import Evaluator
from airflow_provider_online_tasks.emulator.judges.kinds import KINDS
from airflow_provider_online_tasks.emulator.judges.models import INTEGRATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_online_tasks.emulator.clock import Clock
    from airflow_provider_online_tasks.emulator.judges.kind import Kind
    from airflow_provider_online_tasks.emulator.store import Store

_FIRST_NUMBER: Final = 1000  # lower numbers belong to what is there from the start

KIND_OF_TYPE: Final = {kind.hub_type: kind for kind in KINDS.values()}


class Template(NamedTuple):
    """A judge prompt to begin with."""

    column_name: str
    display_name: str
    template: str
    choices: dict[str, float]
    direction: str = "MAXIMIZE"
    data_granularity: str | None = None


TEMPLATES: Final = (
    Template(
        "correctness",
        "Correctness",
        "Question: {input}\nHelp pages: {reference}\nAnswer: {output}\n"
        "Is the answer correct according to the help pages?",
        {"incorrect": 0.0, "correct": 1.0},
    ),
    Template(
        "hallucination",
        "Hallucination",
        "Question: {input}\nHelp pages: {reference}\nAnswer: {output}\n"
        "Does the answer state anything that the help pages do not?",
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
_OUTPUT: Final = "attributes.output.value"
_BUILT_IN_CODE: Final[dict[str, dict[str, Any]]] = {
    "output_present": {
        "managed_evaluator": "MATCHES_REGEX",
        "static_params": [{"name": "pattern", "type": "REGEX", "default_value": "\\S"}],
    },
    "json_parseable": {"managed_evaluator": "JSON_PARSEABLE"},
}


@dataclasses.dataclass(kw_only=True)
class Version:
    """A version of an evaluator: it never changes."""

    id: str
    commit_hash: str
    commit_message: str
    created_at: float
    config: dict[str, Any]


@dataclasses.dataclass(kw_only=True)
class HubEvaluator:
    """An evaluator of the Eval Hub; its versions are oldest first."""

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
        """The kind of evaluator that its type stands for."""
        return KIND_OF_TYPE[self.type]

    def version(self, version_id: str | None) -> Version:
        """Return a version, or the newest; refuse one that is none of its own."""
        if version_id is None:
            return self.versions[-1]
        for version in self.versions:
            if version.id == version_id:
                return version
        raise RefusedInputError(f"{version_id!r} is not a version of evaluator {self.id!r}")


class Hub:
    """The evaluators of the space, in memory and written through."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._evaluators: dict[str, HubEvaluator] = {}
        for record in store.records("evaluator"):
            versions = [Version(**each) for each in record.pop("versions")]
            evaluator = HubEvaluator(**record, versions=versions)
            self._evaluators[evaluator.id] = evaluator
        if not self._evaluators:
            self._add_built_in()

    def clear(self) -> None:
        """Forget all but what is there from the start."""
        self._evaluators.clear()
        self._add_built_in()

    def all(self) -> list[HubEvaluator]:
        """Return every evaluator in the order they were created."""
        return list(self._evaluators.values())

    def ids(self) -> dict[str, str]:
        """Return the identifiers of all evaluators by name."""
        return {each.name: each.id for each in self.all()}

    def get(self, evaluator_id: str) -> HubEvaluator:
        """Return an evaluator, or refuse."""
        if evaluator_id not in self._evaluators:
            raise UnknownObjectError(f"Evaluator {evaluator_id!r} not found")
        return self._evaluators[evaluator_id]

    def of_version(self, version_id: str) -> tuple[HubEvaluator, Version]:
        """Return a version with its evaluator, or refuse."""
        for evaluator in self.all():
            for version in evaluator.versions:
                if version.id == version_id:
                    return evaluator, version
        raise UnknownObjectError(f"Evaluator version {version_id!r} not found")

    def create(
        self, *, name: str, description: str | None, type_name: str, config: dict[str, Any], message: str
    ) -> HubEvaluator:
        """Make an evaluator with its first version."""
        self._check_name(name, None)
        return self._add(
            _FIRST_NUMBER + self._store.take_numbers("Evaluator"),
            name,
            description,
            type_name,
            config,
            message,
        )

    def update(self, evaluator: HubEvaluator, changes: Mapping[str, Any]) -> None:
        """Change an evaluator's name or description."""
        if "name" in changes:
            self._check_name(changes["name"], evaluator)
        for field, value in changes.items():
            setattr(evaluator, field, value)
        evaluator.updated_at = self._clock.stamp()
        self._save(evaluator)

    def add_version(self, evaluator: HubEvaluator, config: dict[str, Any], message: str) -> Version:
        """Add a version, which becomes the one that runs."""
        number = _FIRST_NUMBER + self._store.take_numbers("EvaluatorVersion")
        version = self._version(number, config, message)
        evaluator.versions.append(version)
        evaluator.updated_at = version.created_at
        self._save(evaluator)
        return version

    def delete_versions(self, evaluator: HubEvaluator, version_ids: list[str]) -> list[str]:
        """Delete versions and return those that were there; the last one left cannot go."""
        gone = [each.id for each in evaluator.versions if each.id in version_ids]
        if len(gone) == len(evaluator.versions):
            raise RefusedInputError("An evaluator needs at least one version: delete the evaluator instead")
        evaluator.versions = [each for each in evaluator.versions if each.id not in gone]
        self._save(evaluator)
        return gone

    def delete(self, evaluator: HubEvaluator) -> None:
        """Delete an evaluator with all versions."""
        del self._evaluators[evaluator.id]
        self._store.delete_record("evaluator", evaluator.number)

    def attached(self, evaluator_id: str, version_id: str | None = None, **attachment: Any) -> Evaluator:
        """Return an evaluator as it is attached to a task.

        :param version_id: the version that always runs; None for the newest at each run.
        :param attachment: the fields of :class:`Evaluator` that belong to the attachment.
        """
        found = self.get(evaluator_id)
        return Evaluator(
            kind=found.kind.name,
            hub_name=found.name,
            evaluator_id=evaluator_id,
            evaluator_version_id=version_id,
            **{**_definition(found, found.version(version_id)), **attachment},
        )

    def current(self, evaluator: Evaluator) -> Evaluator:
        """Return an attached evaluator with the definition that runs now; an inline one as it is."""
        if evaluator.evaluator_id is None:
            return evaluator
        found = self.get(evaluator.evaluator_id)
        definition = _definition(found, found.version(evaluator.evaluator_version_id))
        return dataclasses.replace(evaluator, hub_name=found.name, **definition)

    def _add_built_in(self) -> None:
        llm = {
            "ai_integration_id": INTEGRATIONS[0].id,
            "model_name": "gpt-4o",
            "invocation_parameters": {"temperature": 0},
            "provider_parameters": {},
        }
        configs: list[tuple[str, str, dict[str, Any]]] = [
            (
                each.column_name,
                "TEMPLATE",
                {
                    "name": each.column_name,
                    "template": each.template,
                    "include_explanations": True,
                    "use_function_calling": False,
                    "use_structured_output": True,
                    "classification_choices": each.choices,
                    "direction": each.direction,
                    "data_granularity": each.data_granularity,
                    "llm_config": llm,
                },
            )
            for each in TEMPLATES
        ]
        configs += [
            (
                name,
                "CODE",
                {"type": "MANAGED", "name": name, "variables": [_OUTPUT], **config},
            )
            for name, config in _BUILT_IN_CODE.items()
        ]
        for number, (name, type_name, config) in enumerate(configs, 1):
            self._add(number, name, None, type_name, config, "Built in", version_number=number)

    def _add(  # noqa: PLR0917 -- the parts of an evaluator, in one order everywhere
        self,
        number: int,
        name: str,
        description: str | None,
        type_name: str,
        config: dict[str, Any],
        message: str,
        *,
        version_number: int | None = None,
    ) -> HubEvaluator:
        if version_number is None:
            version_number = _FIRST_NUMBER + self._store.take_numbers("EvaluatorVersion")
        version = self._version(version_number, config, message)
        evaluator = HubEvaluator(
            number=number,
            id=ids.encode("Evaluator", number),
            name=name,
            description=description,
            type=type_name,
            created_at=version.created_at,
            updated_at=version.created_at,
            versions=[version],
        )
        self._evaluators[evaluator.id] = evaluator
        self._save(evaluator)
        return evaluator

    def _version(self, number: int, config: dict[str, Any], message: str) -> Version:
        content = json.dumps([number, config, message], sort_keys=True)
        return Version(
            id=ids.encode("EvaluatorVersion", number),
            commit_hash=hashlib.sha256(content.encode()).hexdigest(),
            commit_message=message,
            created_at=self._clock.stamp(),
            config=config,
        )

    def _save(self, evaluator: HubEvaluator) -> None:
        self._store.save_record("evaluator", evaluator.number, dataclasses.asdict(evaluator))

    def _check_name(self, name: str, evaluator: HubEvaluator | None) -> None:
        if any(other.name == name and other is not evaluator for other in self.all()):
            raise RefusedInputError(f"An evaluator named {name!r} already exists in this space")


def _definition(evaluator: HubEvaluator, version: Version) -> dict[str, Any]:
    """Return what a version says of an evaluator, as fields of :class:`Evaluator`."""
    return {
        "name": version.config["name"],
        "granularity": (version.config.get("data_granularity") or "SPAN").lower(),
        **evaluator.kind.of_hub(version.config),
    }

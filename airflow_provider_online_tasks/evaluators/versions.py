"""Create an evaluator once, and a version only for new content.

An evaluator is recognized by its exact name, which is unique in its space. A version is recognized by a hash
of its content, which the operator writes into the commit message. So Arize itself shows what exists, on each
retry and on each day. Only a request of an earlier try that the server may still execute needs an intent.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import EvaluatorVersion
from airflow_provider_online_tasks.exceptions import BadRequest, InvalidInput
from airflow_provider_online_tasks.idempotency.create_once import CreateOnce
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.evaluators import EvaluatorInput

STATE_KEY = "evaluator"
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_HASH = re.compile(r"\[content ([0-9a-f]{16})\]")


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the hash by which the content of a version is recognized."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def add_hash(message: str, content_hash: str) -> str:
    """Return a commit message with the hash of the content at its end."""
    suffix = f" [content {content_hash}]"
    return message[: calls.LONGEST_MESSAGE - len(suffix)] + suffix


def read_hash(message: str) -> str | None:
    """Return the hash at the end of a commit message, or None."""
    hashes = _HASH.findall(message)
    return hashes[-1] if hashes else None


@dataclass(frozen=True, kw_only=True)
class VersionIntent(Intent):
    """The intent to create a version; ``content`` is the hash of its content."""

    space_id: str
    name: str
    content: str


class EvaluatorPublication(CreateOnce[VersionIntent, EvaluatorVersion]):
    """Finds or creates the evaluator and the version of one execution."""

    noun: ClassVar[str] = "evaluator version"

    def __init__(
        self,
        *,
        hook: OnlineTasksHook,
        evaluator: EvaluatorInput,
        content: Mapping[str, Any],
        space_id: str,
        commit_message: str,
        context: Context,
        log: Any,
    ) -> None:
        super().__init__(hook=hook, intents=IntentStore(context, STATE_KEY, VersionIntent), log=log)
        self._wanted = evaluator
        self._content = content
        self._hash = content_hash(content)
        self._space_id = space_id
        self._message = add_hash(commit_message, self._hash)
        self._evaluator_id: str | None = None

    def run(self) -> EvaluatorVersion:
        """Return the newest version if it has the wanted content, else a new version."""
        intent = VersionIntent(space_id=self._space_id, name=self._wanted.name, content=self._hash)
        earlier = self._intents.read()
        if earlier is not None and replace(earlier, sent_at=None, sent_at_worker=None, id=None) != intent:
            earlier = None  # the arguments changed
        version = self._search_for_earlier(earlier, intent) or self._find_current()
        if version is None:
            version = self._create(intent)
        else:
            message = "Version %s of evaluator %s (%r) has this content already."
            self._log.info(message, version.id, version.evaluator_id, self._wanted.name)
        self._intents.delete()
        return version

    def _create(self, intent: VersionIntent) -> EvaluatorVersion:
        try:
            result = self._create_once(intent)
        except BadRequest:
            # Another process may have created the evaluator or this version since the search.
            version = self._find_current()
            if version is None:
                raise
            return version
        return result.resource or EvaluatorVersion(id=result.id, evaluator_id=str(self._evaluator_id))

    def _send_request(self) -> str:
        if self._evaluator_id is None:
            call = calls.create_evaluator(
                space_id=self._space_id,
                name=self._wanted.name,
                description=self._wanted.description,
                evaluator_type=self._wanted.type,
                content=self._content,
                commit_message=self._message,
            )
        else:
            call = calls.create_evaluator_version(
                self._evaluator_id, content=self._content, commit_message=self._message
            )
        version = self._hook.client.send(call)
        self._evaluator_id = version.evaluator_id
        return version.id

    def _describe_created(self, intent: VersionIntent, created_id: str) -> str:
        return f"Evaluator {self._evaluator_id} ({intent.name!r}): new version {created_id}."

    def _find_matching(self, intent: VersionIntent) -> Iterator[EvaluatorVersion]:
        if (version := self._find_current()) is not None:
            yield version

    def _find_current(self) -> EvaluatorVersion | None:
        """Return the newest version of the evaluator if it has the wanted content; note the evaluator."""
        name, space_id = self._wanted.name, self._space_id
        listed = self._list(lambda cursor: calls.list_evaluators(name=name, space_id=space_id, cursor=cursor))
        # Arize's filter also matches parts of a name.
        evaluator = next((evaluator for evaluator in listed if evaluator.name == name), None)
        self._evaluator_id = None if evaluator is None else evaluator.id
        if evaluator is None:
            return None
        if evaluator.type != self._wanted.type:
            raise InvalidInput(
                f"Evaluator {shown(name)} ({evaluator.id}) has type {evaluator.type}, but the DAG defines "
                f"type {self._wanted.type}. The type of an evaluator cannot change: use another name."
            )
        versions = self._list(lambda cursor: calls.list_evaluator_versions(evaluator.id, cursor=cursor))
        # The order in which Arize lists versions is not documented.
        newest = max(versions, key=lambda version: version.created_at or _EARLIEST, default=None)
        return newest if newest is not None and read_hash(newest.commit_message) == self._hash else None

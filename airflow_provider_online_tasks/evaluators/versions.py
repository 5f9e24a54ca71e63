"""Never two evaluators for one, and a new version only for new content.

An evaluator is recognised by its exact name, which is unique in its space. A version is recognised by a hash
of its content, which the operator writes into the version's commit message. So Arize itself knows what is
there, on each retry and on each day. Only a request of an earlier try that may still be carried out needs a
record.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.api.calls import evaluators, pages
from airflow_provider_online_tasks.api.responses.evaluators import EvaluatorVersion
from airflow_provider_online_tasks.exceptions import BadRequest, InvalidInput
from airflow_provider_online_tasks.idempotency.create_once import SEARCH_SECONDS, CreateOnce, Outcome, Result
from airflow_provider_online_tasks.idempotency.intents import Intent, IntentStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_online_tasks.api.calls import Page, RestCall
    from airflow_provider_online_tasks.api.responses.evaluators import Evaluator
    from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
    from airflow_provider_online_tasks.inputs.hub import EvaluatorInput

STATE_KEY = "evaluator"
EARLIEST = datetime.min.replace(tzinfo=UTC)
_MARK = re.compile(r"\[content ([0-9a-f]{16})\]")


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the hash by which the content of a version is recognised."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def marked(message: str, content: str) -> str:
    """Return a commit message that says which content it is about."""
    mark = f" [content {content}]"
    return message[: evaluators.LONGEST_MESSAGE - len(mark)] + mark


def hash_in(message: str) -> str | None:
    """Return the hash that a commit message says, if it does."""
    found = _MARK.findall(message)
    return found[-1] if found else None


@dataclass(frozen=True, kw_only=True)
class VersionRecord(Intent):
    """What is written down about a version that is created.

    :param space_id: the space of the evaluator.
    :param name: the evaluator's name.
    :param content: the hash of the version's content.
    """

    space_id: str
    name: str
    content: str


class EvaluatorPublication(CreateOnce[VersionRecord, EvaluatorVersion]):
    """Finds or creates the evaluator and the version of one operator execution.

    :param hook: how Arize is called.
    :param evaluator: what is wanted.
    :param content: what the version holds.
    :param space_id: the space it is in.
    :param commit_message: what the version's author says about it.
    :param context: the Airflow context.
    :param log: the task's log.
    :param search_seconds: how long to search for a version whose answer was lost.
    """

    noun: ClassVar[str] = "evaluator version"
    verb: ClassVar[str] = "create"

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
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        super().__init__(
            hook=hook,
            intents=IntentStore(context, STATE_KEY, VersionRecord),
            log=log,
            search_seconds=search_seconds,
        )
        self._wanted = evaluator
        self._content = content
        self._hash = content_hash(content)
        self._space_id = space_id
        self._message = marked(commit_message, self._hash)
        self._evaluator_id: str | None = None

    def obtain(self) -> EvaluatorVersion:
        """Return the version that holds the wanted content: the newest one if it does, else a new one.

        :raises InvalidInput: an evaluator of that name judges by something else.
        :raises Unavailable: whether it was created is not known. The next try looks again.
        :raises CallError: the subclass that fits what happened.
        """
        record = VersionRecord(
            space_id=self._space_id,
            name=self._wanted.name,
            content=self._hash,
        )
        version = self._of_an_earlier_try(record) or self._current()
        if version is not None:
            self._log.info(
                "Evaluator %s (%r): version %s holds this content already.",
                version.evaluator_id,
                self._wanted.name,
                version.id,
            )
        else:
            version = self._create(record)
        self._intents.delete()
        return version

    def _of_an_earlier_try(self, wanted: VersionRecord) -> EvaluatorVersion | None:
        """Return the version that an earlier try asked for. It may take a while to appear."""
        record = self._intents.read()
        if record is not None:
            same = (record.space_id, record.name, record.content)
            if same != (wanted.space_id, wanted.name, wanted.content):
                return None
            self._log.info("An earlier try may have created the version before it ended. Searching for it.")
            return self._search(record)
        if self._intents.is_available or self._try.number == 1:
            return None
        # Before Airflow 3.3 nothing is kept between tries: an earlier one may have asked a moment ago.
        return self._search(wanted, seconds=self._search_seconds)

    def _create(self, record: VersionRecord) -> EvaluatorVersion:
        try:
            obtained = self._create_once(record)
        except BadRequest:
            # Another may have created the evaluator, or this version, since the search.
            version = self._current()
            if version is None:
                raise
            return version
        return self._version_of(obtained)

    def _version_of(self, obtained: Result[EvaluatorVersion]) -> EvaluatorVersion:
        if obtained.resource is not None:
            return obtained.resource
        if self._evaluator_id is None:
            raise RuntimeError(f"A version was {Outcome.CREATED.value} without an evaluator.")
        return EvaluatorVersion(
            id=obtained.id, evaluator_id=self._evaluator_id, commit_message=self._message, created_at=None
        )

    def _send_request(self) -> str:
        client = self._hook.client
        # As the search just before found it.
        if self._evaluator_id is None:
            version = client.send(
                evaluators.create_evaluator(
                    space_id=self._space_id,
                    name=self._wanted.name,
                    description=self._wanted.description,
                    evaluator_type=self._wanted.type,
                    content=self._content,
                    commit_message=self._message,
                )
            )
        else:
            version = client.send(
                evaluators.create_evaluator_version(
                    self._evaluator_id, content=self._content, commit_message=self._message
                )
            )
        self._evaluator_id = version.evaluator_id
        return version.id

    def _describe_created(self, record: VersionRecord, made_id: str) -> str:
        return f"Evaluator {self._evaluator_id} ({record.name!r}): new version {made_id}."

    def _find_matching(self, record: VersionRecord) -> Iterator[EvaluatorVersion]:
        version = self._current()
        if version is not None:
            yield version

    def _current(self) -> EvaluatorVersion | None:
        """Return the newest version of the evaluator if it holds the wanted content."""
        evaluator = self._evaluator()
        self._evaluator_id = None if evaluator is None else evaluator.id
        if evaluator is None:
            return None
        versions = self._all(lambda cursor: evaluators.list_evaluator_versions(evaluator.id, cursor=cursor))
        # The order in which Arize lists them is not documented.
        newest = max(versions, key=lambda one: one.created_at or EARLIEST, default=None)
        return newest if newest is not None and hash_in(newest.commit_message) == self._hash else None

    def _evaluator(self) -> Evaluator | None:
        """Return the evaluator of exactly this name in the space."""
        name, space_id = self._wanted.name, self._space_id
        listed = self._all(
            lambda cursor: evaluators.list_evaluators(name=name, space_id=space_id, cursor=cursor)
        )
        # Arize's filter takes a part of the name for a match.
        found = next((one for one in listed if one.name == name), None)
        if found is not None and found.type != self._wanted.type:
            raise InvalidInput(
                f"Evaluator {shown(name)} ({found.id}) is of type {found.type} and the DAG says "
                f"{self._wanted.type}: the type of an evaluator cannot change. Give another name."
            )
        return found

    def _all(self, call_at: Callable[[str | None], RestCall[Page[Any]]]) -> list[Any]:
        return [item for page in pages(self._read_page, call_at) for item in page.items]

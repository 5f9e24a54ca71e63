"""The settings of an emulator, most of which can be changed while it runs."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from airflow_provider_online_tasks.emulator.checked import OneOrMore, Seconds, check_types

DEFAULT_API_KEY = "ak-emulator-0000"

StatusCase = Literal["upper", "lower"]
SamplingRateUnit = Literal["fraction", "percent"]
NoData = Literal["completed", "task_error"]
RunsOrder = Literal["newest", "oldest", "shuffled"]
RateLimitStatus = Literal[200, 429]
Port = Annotated[int, Field(ge=0, le=65_535)]

CHOICES: dict[str, tuple[str, ...]] = {
    "status_case": get_args(StatusCase),
    "sampling_rate_unit": get_args(SamplingRateUnit),
    "no_data": get_args(NoData),
    "runs_order": get_args(RunsOrder),
}
# These are read once, while the server starts.
START_ONLY = frozenset(
    {"host", "port", "host_names", "api_key", "database", "spans", "judge_url", "judge_key", "judge_model"},
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmulatorSettings:
    """How an emulator behaves.

    :param host: the address it listens on; anything but loopback has to be asked for.
    :param port: the port it listens on; 0 takes a free one.
    :param host_names: other names, separated by commas, that requests may call it by, such as that of its
        container.
    :param api_key: the one key it accepts, over GraphQL (``x-api-key``) and REST (``Bearer``).
    :param database: an SQLite file that survives the process; None keeps everything in memory
        (a separate process: in a temporary file).
    :param spans: a JSONL file of spans to evaluate; None loads the shipped sample.
    :param lenient: whether to evaluate what Arize would not: template variables without a value are empty,
        words such as ``{input}`` need no mapping, and judge models, integrations and code are not checked.
    :param run_seconds: how long a run takes; with 0 it is over when it is first read.
    :param index_delay: how many seconds the indexes lag: a run does not see spans that are younger than this
        when it is created, and an evaluation can be read this long after it is made.
    :param status_case: run statuses as today's API spells them (``upper``) or as it used to.
    :param sampling_rate_unit: what ``samplingRate`` means over GraphQL; ``percent`` is the older server.
    :param queries_per_minute: how many reads a key has in any minute; None for no limit.
    :param mutations_per_minute: how many writes a key has in any minute; None for no limit.
    :param retry_after: whether a 429 says how long to wait; Arize documents no such header.
    :param graphql_rate_limit_status: 200 reports a GraphQL rate limit inside the answer, 429 by the status.
    :param mutations_permitted: False behaves as an account whose plan has no GraphQL mutations.
    :param graphql_max_window_days: the longest window runOnlineTask takes; None for any length, as in the
        example of Arize's page.
    :param patch_input_type: the schema's name for patchEvalTask's input type, which nobody documents.
    :param no_data: how a run over a window without spans goes: it completes with zeros, or a TaskError.
    :param runs_order: the order in which the runs of a task are listed.
    :param judge_url: an OpenAI-compatible endpoint to judge with; None for the built-in offline judge.
    :param judge_key: the key for that endpoint.
    :param judge_model: the model that endpoint shall use.
    """

    host: str = "127.0.0.1"
    port: Port = 0
    host_names: str = ""
    api_key: str = dataclasses.field(default=DEFAULT_API_KEY, repr=False)
    database: str | Path | None = None
    spans: str | Path | None = None
    lenient: bool = False
    run_seconds: Seconds = 6.0
    index_delay: Seconds = 0.0
    status_case: StatusCase = "upper"
    sampling_rate_unit: SamplingRateUnit = "fraction"
    queries_per_minute: OneOrMore | None = 100
    mutations_per_minute: OneOrMore | None = 300
    retry_after: bool = False
    graphql_rate_limit_status: RateLimitStatus = 200
    mutations_permitted: bool = True
    graphql_max_window_days: OneOrMore | None = None
    patch_input_type: str = "PatchEvalTaskMutationInput"
    no_data: NoData = "completed"
    runs_order: RunsOrder = "newest"
    judge_url: str | None = None
    judge_key: str | None = dataclasses.field(default=None, repr=False)
    judge_model: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if not self.api_key:
            raise ValueError("api_key is empty; give the key that clients shall present.")
        if self.judge_url is not None and not self.judge_model:
            raise ValueError("judge_url is given without judge_model; name the model that shall judge.")

    def changed(self, changes: dict[str, Any]) -> EmulatorSettings:
        """Return these settings with some changed while the server runs."""
        known = {field.name for field in dataclasses.fields(self)}
        for name in changes:
            if name not in known:
                raise ValueError(
                    f"There is no setting {name!r}; the settings are {', '.join(sorted(known))}."
                )
            if name in START_ONLY:
                raise ValueError(f"{name} cannot be changed while the emulator runs; give it at the start.")
        return dataclasses.replace(self, **changes)

    def answers_to(self, host_header: str) -> bool:
        """Whether a request in the name of this host is meant for this server.

        On loopback, only loopback's own names are. Elsewhere any IP address is, and what ``host_names``
        lists: a name that somebody else's DNS points here is not.
        """
        host = host_header.rpartition("]")[0].lstrip("[") or host_header.partition(":")[0]
        if host.lower() == "localhost" or host.lower() in self.host_names.lower().split(","):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return not host
        return address.is_loopback or not self.is_loopback

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

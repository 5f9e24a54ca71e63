"""The settings of an emulator. Most of them can be changed while it runs."""

from __future__ import annotations

import dataclasses
import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

DEFAULT_API_KEY = "ak-emulator-0000"

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
OneOrMore = Annotated[int, Field(ge=1)]
# The server reads these only when it starts.
START_ONLY = frozenset(
    {"host", "port", "host_names", "api_key", "database", "spans", "judge_url", "judge_key", "judge_model"}
)
# The environment variables of the keys: every user of the machine can list arguments.
KEY_VARIABLES = {"api_key": "ONLINE_TASKS_EMULATOR_API_KEY", "judge_key": "ONLINE_TASKS_EMULATOR_JUDGE_KEY"}
STRICT = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EmulatorSettings:
    """How an emulator behaves.

    :param host: the address that it listens on; only loopback by default.
    :param port: the port that it listens on; 0 takes a free one.
    :param host_names: additional names, separated by commas, that requests may use in their Host header,
        such as the name of its container.
    :param api_key: the only key that it accepts, over GraphQL (``x-api-key``) and REST (``Bearer``).
    :param database: an SQLite file that survives the process; None keeps everything in memory
        (a separate process: in a temporary file).
    :param spans: a file of spans to evaluate: JSON or JSONL, also as Phoenix, ``ax spans export`` and
        OpenTelemetry's SDK write it, or CSV or Parquet with pyarrow; None loads the included sample.
    :param judge_url: an OpenAI-compatible API with an LLM judge for template evaluators, such as
        ``http://127.0.0.1:8080/v1``; None evaluates by simple rules, without an LLM.
    :param judge_key: the key of that API.
    :param judge_model: the name of its model.
    :param run_seconds: how long a run takes; with 0 it has finished when it is first read.
    :param index_delay: the delay of the indexes in seconds: a run does not see spans that are younger than
        this when it is created, and an evaluation can be read this long after it was made.
    :param status_case: the spelling of run statuses: ``upper`` (current API) or ``lower`` (older API).
    :param sampling_rate_unit: the unit of ``samplingRate`` over GraphQL; ``percent`` is the older server.
    :param queries_per_minute: reads that a key may send per minute; None for no limit.
    :param mutations_per_minute: writes that a key may send per minute; None for no limit.
    :param retry_after: send ``Retry-After`` with a 429; Arize documents no such header.
    :param graphql_rate_limit_status: the HTTP status of a GraphQL rate limit: 200 (an error in the response)
        or 429.
    :param mutations_permitted: False rejects GraphQL mutations, as for accounts without the Enterprise plan.
    :param graphql_max_window_days: the longest window that runOnlineTask accepts; None for any length.
    :param patch_input_type: the name of the input type of patchEvalTask, which is not documented.
    :param no_data: the result of a run over a window without spans: ``completed`` with zeros, or
        ``task_error``.
    :param runs_order: the order in which the runs of a task are listed.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    host_names: str = ""
    api_key: Annotated[str, Field(min_length=1)] = dataclasses.field(default=DEFAULT_API_KEY, repr=False)
    database: str | Path | None = None
    spans: str | Path | None = None
    judge_url: Annotated[str, Field(pattern=r"^https?://[^/?#]")] | None = None
    judge_key: str | None = dataclasses.field(default=None, repr=False)
    judge_model: str | None = None
    run_seconds: Seconds = 6.0
    index_delay: Seconds = 0.0
    status_case: Literal["upper", "lower"] = "upper"
    sampling_rate_unit: Literal["fraction", "percent"] = "fraction"
    queries_per_minute: OneOrMore | None = 100
    mutations_per_minute: OneOrMore | None = 300
    retry_after: bool = False
    graphql_rate_limit_status: Literal[200, 429] = 200
    mutations_permitted: bool = True
    graphql_max_window_days: OneOrMore | None = None
    patch_input_type: str = "PatchEvalTaskMutationInput"
    no_data: Literal["completed", "task_error"] = "completed"
    runs_order: Literal["newest", "oldest", "shuffled"] = "newest"

    def __post_init__(self) -> None:
        if self.judge_url is not None and not self.judge_model:
            raise ValueError("judge_url needs judge_model, the name of the model.")

    def changed(self, changes: dict[str, Any]) -> EmulatorSettings:
        """Return these settings with changes that are allowed while the server runs."""
        fixed = ", ".join(START_ONLY & set(changes))
        if fixed:
            raise ValueError(f"{fixed} cannot be changed while the emulator runs; set it at the start.")
        return dataclasses.replace(self, **changes)

    def accepts_host(self, host_header: str) -> bool:
        """Whether a Host header names this server.

        On loopback, only names of loopback do. Elsewhere any IP address does, and the names in
        ``host_names``; another name may be a DNS entry of an attacker that points here.
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


def read_setting(name: str, text: str) -> Any:
    """Return the value of a setting that is given as text: ``none``, ``true``, ``1.5``, …

    :raises ValueError: there is no such setting, or the text does not fit.
    """
    hints = get_type_hints(EmulatorSettings, include_extras=True)
    if name not in hints:
        raise ValueError(f"There is no setting {name!r}.")
    if text.lower() == "none":
        return None
    adapter: TypeAdapter[Any] = TypeAdapter(hints[name])
    try:
        return adapter.validate_strings(text)
    except ValidationError:
        if not text.isdecimal():
            raise
        return adapter.validate_python(int(text))  # a Literal of numbers accepts no text

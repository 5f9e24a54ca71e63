"""An Airflow connection in each of its forms becomes settings, and the connection test reports problems."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.connection import Connection

from airflow_provider_online_tasks._airflow import AirflowNotFoundException
from airflow_provider_online_tasks.exceptions import InvalidConnection
from airflow_provider_online_tasks.get_provider_info import get_provider_info
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.examples import eval_task
from tests.support.servers import RecordingServer, Reply, Seen, closed_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_online_tasks.emulator import Emulator

APP, API = "https://app.arize.com", "https://api.arize.com"


def hook_of(monkeypatch: pytest.MonkeyPatch, connection: str | dict[str, Any]) -> OnlineTasksHook:
    text = (
        connection
        if isinstance(connection, str)
        else json.dumps({"conn_type": "arize_online_tasks", "password": "ak", **connection})
    )
    monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", text)
    return OnlineTasksHook()


@pytest.mark.parametrize(
    ("fields", "app", "api"),
    [
        ({}, APP, API),
        ({"extra": {"region": "us"}}, APP, API),
        (
            {"extra": {"region": "eu-west-1a"}},
            "https://app.eu-west-1a.arize.com",
            "https://api.eu-west-1a.arize.com",
        ),
        (
            {"extra": {"region": "CA-central-1a "}},
            "https://app.ca-central-1a.arize.com",
            "https://api.ca-central-1a.arize.com",
        ),
        ({"host": "app.arize.com"}, APP, API),
        ({"host": "app.arize.com", "schema": "https"}, APP, API),
        (
            {"host": "https://app.eu-west-1a.arize.com/"},
            "https://app.eu-west-1a.arize.com",
            "https://api.eu-west-1a.arize.com",
        ),
        ({"host": "arize.example.org"}, "https://arize.example.org", "https://arize.example.org"),
        (
            {"host": "arize.example.org", "schema": "http", "port": 8080},
            "http://arize.example.org:8080",
            "http://arize.example.org:8080",
        ),
        ({"host": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ({"host": "http://[::1]:8080"}, "http://[::1]:8080", "http://[::1]:8080"),
        (
            {"host": "arize.example.org", "extra": {"rest_host": "rest.example.org"}},
            "https://arize.example.org",
            "https://rest.example.org",
        ),
        (
            {"host": "https://arize.example.org:8443", "extra": {"rest_host": "http://rest.example.org:81"}},
            "https://arize.example.org:8443",
            "http://rest.example.org:81",
        ),
        ("arize-online-tasks://:ak@", APP, API),
        (
            "arize-online-tasks://:ak@?region=eu-west-1a",
            *(f"https://{part}.eu-west-1a.arize.com" for part in ("app", "api")),
        ),
        ("arize-online-tasks://:ak@app.arize.com", APP, API),
        ("arize-online-tasks://:ak@arize.example.org:8080/http", *["http://arize.example.org:8080"] * 2),
        ("arize-online-tasks://:ak@http%3A%2F%2F127.0.0.1%3A8080", *["http://127.0.0.1:8080"] * 2),
        (
            "arize-online-tasks://:ak@arize.example.org?rest_host=rest.example.org&timeout=5",
            "https://arize.example.org",
            "https://rest.example.org",
        ),
    ],
)
def test_connection_gives_the_addresses(
    monkeypatch: pytest.MonkeyPatch, fields: str | dict[str, Any], app: str, api: str
) -> None:
    settings = hook_of(monkeypatch, fields).settings

    assert settings.api_key == "ak"
    assert settings.endpoint.graphql_url == f"{app}/graphql"
    assert settings.endpoint.app_url == app
    assert settings.endpoint.rest_url == api


@pytest.mark.parametrize("form", ["connection_json", "connection_uri"])
def test_emulator_connection_works(monkeypatch: pytest.MonkeyPatch, emulator: Emulator, form: str) -> None:
    with hook_of(monkeypatch, getattr(emulator, form)) as hook:
        hook.create_eval_task(eval_task(emulator.project_id, emulator.evaluator_ids["output_present"]))
        works, message = hook.test_connection()
    assert works, message
    assert len(emulator.tasks()) == 1


def test_extra_fields_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = hook_of(
        monkeypatch,
        {
            "extra": {
                "timeout": "2.5",
                "verify": "false",
                "proxy": "http://proxy:3128",
                "requests_per_minute": 20,
                "sampling_rate_unit": "percent",
                "organization_id": "O",
                "space_id": "S",
            }
        },
    ).settings
    assert (settings.timeout, settings.verify, settings.proxy) == (2.5, False, "http://proxy:3128")
    assert (settings.requests_per_minute, settings.sampling_rate_unit) == (20, "percent")
    assert (settings.organization_id, settings.space_id) == ("O", "S")


def test_sampling_rate_is_sent_in_percent_to_older_servers(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    emulator.configure(sampling_rate_unit="percent")
    try:
        fields = {**json.loads(emulator.connection_json), "extra": {"sampling_rate_unit": "percent"}}
        with hook_of(monkeypatch, fields) as hook:
            evaluator = emulator.evaluator_ids["output_present"]
            hook.create_eval_task(eval_task(emulator.project_id, evaluator, sampling_rate=0.25))
    finally:
        emulator.configure(sampling_rate_unit="fraction")
    assert [task["sampling_rate"] for task in emulator.tasks()] == [0.25]


@pytest.mark.parametrize(
    "fields",
    [
        {"password": None},
        {"conn_type": "http"},
        {"host": "https://someone:secret@arize.example.org"},
        {"extra": {"region": "eu/../evil"}},
        {"extra": {"regoin": "us"}},
        {"password": "YOUR_API_KEY"},
        {"extra": {"model_id": "YOUR_PROJECT_ID"}},
        {"extra": {"model_id": "T25saW5lVGFzazo0NTpxUndY"}},
        {"extra": {"space_id": "TW9kZWw6MTIzOmFCY0Q="}},
        {"extra": {"organization_id": "my organization"}},
    ],
)
def test_wrong_connection_is_rejected(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]) -> None:
    hook = hook_of(monkeypatch, fields)
    with pytest.raises(InvalidConnection) as caught:
        hook.settings  # noqa: B018
    assert "'arize_online_tasks_default'" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "extra",
    ["region=eu-west-1a", '{"region": "eu-west-1a"', '"eu-west-1a"', "[1]", "1", "null", "{'region': 'us'}"],
)
def test_extra_that_is_no_object_is_rejected(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    """Airflow reads an extra with broken JSON as empty, so the key would go to another region."""
    hook = hook_of(monkeypatch, {"extra": extra})
    with pytest.raises(InvalidConnection, match="extra"):
        hook.settings  # noqa: B018


def test_wrong_extra_is_rejected_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = hook_of(monkeypatch, {"extra": '{"proxy": "http://me:hunter2@proxy:3128"'})
    with pytest.raises(InvalidConnection) as caught:
        hook.settings  # noqa: B018
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("extra", ["", "{}", '{"region": "us"}'])
def test_empty_extra_is_the_us_region(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    assert hook_of(monkeypatch, {"extra": extra}).settings.endpoint.app_url == APP


def test_missing_connection_named_with_command_that_creates_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for read in (OnlineTasksHook("no_such").renew, lambda: OnlineTasksHook("no_such").settings):
        with pytest.raises(AirflowNotFoundException) as caught:
            read()
    command = str(caught.value).partition("airflow connections add ")[2]
    conn_id, *options = shlex.split(command)
    assert conn_id == "no_such"

    connection = dict(zip(options[::2], options[1::2], strict=True))
    fields = {"conn_type": connection["--conn-type"], "password": connection["--conn-password"] + "1"}
    with pytest.raises(InvalidConnection, match="YOUR_API_KEY"):
        hook_of(monkeypatch, fields).settings  # noqa: B018


def test_missing_ca_bundle_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"host": "https://127.0.0.1:1", "extra": {"ca_bundle": "/no/such/bundle.pem"}}
    hook = hook_of(monkeypatch, fields)
    with pytest.raises(InvalidConnection, match=r"/no/such/bundle\.pem"):
        hook.get_task("t")


[CONNECTION_TYPE] = get_provider_info()["connection-types"]
# The values that Airflow's form sends for unchanged fields.
UNTOUCHED = {name: field["schema"]["default"] for name, field in CONNECTION_TYPE["conn-fields"].items()}


@pytest.mark.parametrize(
    ("fields", "app"),
    [
        ({}, APP),
        ({"host": "", "login": "", "schema": "", "port": 443}, APP),
        ({"extra": {"region": "eu-west-1a"}, "port": 443}, "https://app.eu-west-1a.arize.com"),
        ({"host": "arize.example.org", "port": 443}, "https://arize.example.org:443"),
        ({"host": "http://127.0.0.1", "port": 8080}, "http://127.0.0.1:8080"),
        ({"host": "http://127.0.0.1:8080", "port": 443}, "http://127.0.0.1:8080"),
        ({"extra": {"verify": None, "sampling_rate_unit": None}}, APP),
    ],
)
@pytest.mark.parametrize("through_test_button", [False, True])
def test_connection_from_form_has_same_settings(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], app: str, through_test_button: bool
) -> None:
    posted = {**fields, "extra": {**UNTOUCHED, **fields.get("extra", {})}}
    connection: str | dict[str, Any] = posted
    if through_test_button:  # it passes the connection to the hook as a URI
        form = {**posted, "extra": json.dumps(posted["extra"])}
        connection = Connection(conn_id="c", conn_type="arize_online_tasks", password="ak", **form).get_uri()

    settings = hook_of(monkeypatch, connection).settings

    assert settings == hook_of(monkeypatch, fields).settings
    assert settings.endpoint.app_url == app


def result_of_test(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> tuple[bool, str]:
    return hook_of(monkeypatch, fields).test_connection()


def test_connection_test_works_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    works, message = result_of_test(monkeypatch, host=emulator.url, password=emulator.api_key)
    assert works
    for part in (emulator.url, f"{emulator.url}/graphql", "'Emulated space'"):
        assert part in message
    assert emulator.tasks() == emulator.runs() == []


def test_connection_test_wrong_key_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    works, message = result_of_test(monkeypatch, host=emulator.url, password="ak-wrong")
    assert not works
    assert message.count("HTTP 401") == 1


def test_connection_test_wrong_model_id_is_reported(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    key = {"host": emulator.url, "password": emulator.api_key}
    for model_id in ("TW9kZWw6OTk5OnFSd1g=", "T25saW5lVGFzazo0NTpxUndY"):
        works, message = result_of_test(monkeypatch, **key, extra={"model_id": model_id})
        assert not works
        assert "model_id" in message
    assert result_of_test(monkeypatch, **key, extra={"model_id": emulator.project_id})[0]


def test_connection_test_unreachable_api_is_named(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    key = {"password": emulator.api_key}
    with closed_port() as nowhere:
        works, message = result_of_test(monkeypatch, **key, host=emulator.url, extra={"rest_host": nowhere})
        assert not works
        assert message.index(f"{emulator.url}/graphql") < message.index(nowhere)

        works, message = result_of_test(monkeypatch, **key, host=nowhere, extra={"rest_host": emulator.url})
        assert not works
        assert message.index(emulator.url) < message.index(f"{nowhere}/graphql")


def test_connection_test_two_problems_are_both_reported(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    with closed_port() as nowhere:
        extra = {"rest_host": nowhere}
        works, message = result_of_test(monkeypatch, host=emulator.url, password="ak-wrong", extra=extra)
    assert not works
    assert nowhere in message
    assert "HTTP 401" in message


def graphql_of(*, spaces: Any = None, mutations: Any = None) -> Callable[[Seen], Reply]:
    """Serve GraphQL with these spaces and mutations."""

    def reply(seen: Seen) -> Reply:
        query = seen.json["query"]
        if "viewer" in query:
            return Reply.of({"data": {"viewer": spaces}})
        return Reply.of({"data": {"__typename": "Query", "__type": mutations}})

    return reply


ALL = {"fields": [{"name": name} for name in ("createEvalTask", "patchEvalTask", "runOnlineTask")]}


def spaces_of(*names: str) -> dict[str, Any]:
    edges = [{"node": {"id": f"id {number}", "name": name}} for number, name in enumerate(names)]
    return {"spaces": {"edges": edges, "pageInfo": {"hasNextPage": False}}}


@pytest.mark.parametrize(
    ("graphql", "works", "named"),
    [
        pytest.param(
            {"spaces": spaces_of("Another"), "mutations": ALL}, False, "'Another'", id="two accounts"
        ),
        pytest.param(
            {"spaces": spaces_of("A\x1b[2J" + 5_000 * "n"), "mutations": ALL},
            False,
            f"'A\ufffd[2J{73 * 'n'}…",
            id="hostile name",
        ),
        pytest.param({"spaces": spaces_of(), "mutations": ALL}, True, "account", id="no space"),
        pytest.param({"spaces": {"unheard": "of"}, "mutations": ALL}, True, "account", id="other schema"),
        pytest.param(
            {"spaces": spaces_of(), "mutations": {"fields": [{"name": "runOnlineTask"}]}},
            False,
            "patchEvalTask",
            id="missing mutations",
        ),
        pytest.param({"mutations": None}, True, "mutations", id="no introspection"),
    ],
)
def test_connection_test_compares_accounts_and_mutations(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, graphql: dict[str, Any], works: bool, named: str
) -> None:
    with RecordingServer(graphql_of(**graphql)) as arize:
        result = result_of_test(
            monkeypatch, host=arize.url, password=emulator.api_key, extra={"rest_host": emulator.url}
        )
    assert result[0] is works
    assert named in result[1]
    assert result[1].isprintable()
    assert len(result[1]) < 500

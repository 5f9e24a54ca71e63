"""The forms an Airflow connection may take, and what is made of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.models.connection import Connection

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
def test_where_arize_is(
    monkeypatch: pytest.MonkeyPatch, fields: str | dict[str, Any], app: str, api: str
) -> None:
    settings = hook_of(monkeypatch, fields).settings

    assert settings.api_key == "ak"
    assert settings.endpoint.graphql_url == f"{app}/graphql"
    assert settings.endpoint.ui_url == app
    assert settings.endpoint.rest_url == api


@pytest.mark.parametrize("form", ["connection_json", "connection_uri"])
def test_the_emulators_own_connection(monkeypatch: pytest.MonkeyPatch, emulator: Emulator, form: str) -> None:
    with hook_of(monkeypatch, getattr(emulator, form)) as hook:
        hook.create_eval_task(eval_task(emulator.project_id, emulator.evaluator_ids["output_present"]))
        works, message = hook.test_connection()
    assert works, message
    assert len(emulator.tasks()) == 1


def test_extras(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_older_servers_percentage(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
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
    ("fields", "words"),
    [
        ({"password": None}, "no API key"),
        ({"host": "app.arize.com", "extra": {"region": "us"}}, "both a host and the region"),
        ({"extra": {"rest_host": "api.arize.com"}}, "rest_host without a host"),
        ({"extra": {"region": "eu/../evil"}}, "not a region name"),
        ({"extra": {"region": "evil.org#"}}, "not a region name"),
        ({"host": "https://arize.example.org/graphql"}, "without a path"),
        ({"host": "https://someone:secret@arize.example.org"}, "carries credentials"),
        ({"host": "ftp://arize.example.org"}, "scheme 'ftp'"),
        ({"host": "https://arize.example.org:port"}, "cannot be read"),
        ({"host": "two hosts"}, "not a host name"),
        ({"extra": {"timeout": "soon"}}, "timeout must be a number above 0"),
        ({"extra": {"timeout": -1}}, "timeout must be a number above 0"),
        ({"extra": {"timeout": "nan"}}, "timeout must be a number above 0"),
        ({"extra": {"requests_per_minute": "many"}}, "requests_per_minute must be a number"),
        ({"extra": {"verify": "/etc/ca.pem"}}, "goes into ca_bundle"),
        ({"extra": {"sampling_rate_unit": "promille"}}, "fraction or percent"),
        ({"extra": {"regoin": "us"}}, "unknown extra regoin"),
    ],
)
def test_a_connection_that_says_nothing_useful(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], words: str
) -> None:
    hook = hook_of(monkeypatch, fields)
    with pytest.raises(InvalidConnection, match=words) as caught:
        hook.settings  # noqa: B018
    assert "secret" not in str(caught.value)


def test_a_ca_bundle_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"host": "https://127.0.0.1:1", "extra": {"ca_bundle": "/no/such/bundle.pem"}}
    hook = hook_of(monkeypatch, fields)
    with pytest.raises(InvalidConnection, match=r"/no/such/bundle\.pem"):
        hook.get_task("t")


[CONNECTION_TYPE] = get_provider_info()["connection-types"]
# What Airflow's form posts of the fields that nobody touched.
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
def test_a_connection_that_the_form_made(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], app: str, through_test_button: bool
) -> None:
    posted = {**fields, "extra": {**UNTOUCHED, **fields.get("extra", {})}}
    connection: str | dict[str, Any] = posted
    if through_test_button:  # it hands the connection to the hook as a URI
        form = {**posted, "extra": json.dumps(posted["extra"])}
        connection = Connection(conn_id="c", conn_type="arize_online_tasks", password="ak", **form).get_uri()

    settings = hook_of(monkeypatch, connection).settings

    assert settings == hook_of(monkeypatch, fields).settings
    assert settings.endpoint.ui_url == app


def told(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> tuple[bool, str]:
    return hook_of(monkeypatch, fields).test_connection()


def test_a_connection_that_works(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    assert told(monkeypatch, host=emulator.url, password=emulator.api_key) == (
        True,
        f"REST at {emulator.url} and GraphQL at {emulator.url}/graphql accept the key; both see the space "
        f"'Emulated space'; the mutations are there, and whether the plan permits them shows when one is "
        f"sent.",
    )
    assert emulator.tasks() == emulator.runs() == []


def test_a_key_that_neither_accepts(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    works, message = told(monkeypatch, host=emulator.url, password="ak-wrong")
    assert not works
    assert message.startswith(f"Neither REST at {emulator.url} nor GraphQL at {emulator.url}/graphql works: ")
    assert message.count("HTTP 401") == 1


def test_no_connection_to_one_of_them(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    key = {"password": emulator.api_key}
    with closed_port() as nobody:
        works, message = told(monkeypatch, **key, host=emulator.url, extra={"rest_host": nobody})
        assert not works
        assert message.startswith(
            f"GraphQL at {emulator.url}/graphql accepts the key, but REST at {nobody} does"
        )
        assert "refused" in message.lower()

        works, message = told(monkeypatch, **key, host=nobody, extra={"rest_host": emulator.url})
        assert not works
        assert message.startswith(
            f"REST at {emulator.url} accepts the key, but GraphQL at {nobody}/graphql does"
        )


def test_each_fails_in_its_own_way(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    with closed_port() as nobody:
        extra = {"rest_host": nobody}
        works, message = told(monkeypatch, host=emulator.url, password="ak-wrong", extra=extra)
    assert not works
    assert "refused" in message.lower()
    assert "GraphQL: " in message
    assert "HTTP 401" in message


def graphql_of(*, spaces: Any = None, mutations: Any = None) -> Callable[[Seen], Reply]:
    """A GraphQL host that answers as it is told, and whose REST is elsewhere."""

    def answer(seen: Seen) -> Reply:
        query = seen.json["query"]
        if "viewer" in query:
            return Reply.of({"data": {"viewer": spaces}})
        return Reply.of({"data": {"__typename": "Query", "__type": mutations}})

    return answer


ALL = {"fields": [{"name": name} for name in ("createEvalTask", "patchEvalTask", "runOnlineTask")]}


def spaces_of(*names: str) -> dict[str, Any]:
    edges = [{"node": {"id": f"id {number}", "name": name}} for number, name in enumerate(names)]
    return {"spaces": {"edges": edges, "pageInfo": {"hasNextPage": False}}}


@pytest.mark.parametrize(
    ("graphql", "works", "words"),
    [
        pytest.param(
            {"spaces": spaces_of("Another"), "mutations": ALL},
            False,
            "but they see different spaces, REST 'Emulated space' and GraphQL 'Another'",
            id="two accounts",
        ),
        pytest.param(
            {"spaces": spaces_of("A\x1b[2J" + 5_000 * "n"), "mutations": ALL},
            False,
            f"and GraphQL 'A\ufffd[2J{73 * 'n'}…, so probably two accounts; the mutations",
            id="a name that is no name",
        ),
        pytest.param(
            {"spaces": spaces_of(), "mutations": ALL},
            True,
            "whether they see the same account is not known",
            id="no space",
        ),
        pytest.param(
            {"spaces": {"unheard": "of"}, "mutations": ALL},
            True,
            "whether they see the same account is not known",
            id="another schema",
        ),
        pytest.param(
            {"spaces": spaces_of(), "mutations": {"fields": [{"name": "runOnlineTask"}]}},
            False,
            "but GraphQL has no createEvalTask and no patchEvalTask",
            id="mutations are missing",
        ),
        pytest.param({"mutations": None}, True, "as the schema is not shown", id="no introspection"),
    ],
)
def test_what_else_can_be_known(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, graphql: dict[str, Any], works: bool, words: str
) -> None:
    with RecordingServer(graphql_of(**graphql)) as arize:
        found = told(
            monkeypatch, host=arize.url, password=emulator.api_key, extra={"rest_host": emulator.url}
        )
    assert found[0] is works
    assert words in found[1]
    assert found[1].isprintable()
    assert len(found[1]) < 500

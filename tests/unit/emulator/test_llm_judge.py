"""The LLM judge: what it sends to an OpenAI-compatible endpoint, and what it accepts from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import ValidationError

from airflow_provider_online_tasks.emulator import Emulator, EmulatorProcess, EmulatorSettings, RunFate
from airflow_provider_online_tasks.emulator.evaluators.kinds import Outcome
from airflow_provider_online_tasks.emulator.evaluators.llm_judge import LlmJudge
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, Evaluator
from airflow_provider_online_tasks.emulator.spans.values import Unit
from tests.support.emulator_api import AGENTS, Api, eventually, template_evaluator

KEY = "sk-not-for-logs"
Reply = tuple[int, dict[str, str], bytes]


def completion(content: Any, usage: Any = None) -> Reply:
    document = {"choices": [{"message": {"role": "assistant", "content": content}}], "usage": usage}
    return 200, {}, json.dumps(document).encode()


class Endpoint:
    """A chat completions endpoint that returns what a test sets, and records the requests."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.reply: Callable[[], Reply] = lambda: completion("LABEL: good")
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request = {"path": self.path, "key": self.headers["Authorization"], **body}
                endpoint.requests.append(request)
                status, headers, content = endpoint.reply()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the emulator may have stopped
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.requests]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()
    thread.join(timeout=5)


def settings(url: str, **fields: Any) -> EmulatorSettings:
    judge = {"judge_url": url, "judge_key": KEY, "judge_model": "small"}
    limits = {"queries_per_minute": None, "mutations_per_minute": None}
    return EmulatorSettings(run_seconds=0, **limits, **(judge | fields))


@pytest.fixture
def emulator(endpoint: Endpoint) -> Iterator[Emulator]:
    with Emulator(settings(endpoint.url)) as emulator:
        yield emulator


def finished(api: Api, run_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        run = api.read(run_id)
        return run if run["status"] not in ("PENDING", "RUNNING") else None

    return eventually(look)


def evaluated(api: Api, name: str = "quality", **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run an evaluator over one span, and return the run and its record in the control plane."""
    evaluator = template_evaluator(name, **fields)
    run_id = api.run(api.create(name=name, templateEvaluators=[evaluator]), maxSpans=1)
    run = finished(api, run_id)
    return run, next(each for each in api.emulator.runs() if each["id"] == run_id)


def test_model_chooses_label_score_and_explanation(api: Api, emulator: Emulator, endpoint: Endpoint) -> None:
    endpoint.reply = lambda: completion("It says 90 days.\n\nLABEL: bad", {"prompt_tokens": 7})
    choices = {"bad": 0.25, "good": 1.0}
    run, _ = evaluated(api, classificationChoices=choices)
    assert (run["status"], api.counts(run["id"])) == ("COMPLETED", (1, 0, 0))
    assert emulator.usage() == {"calls": 1, "input_tokens": 7, "output_tokens": 0}
    (evaluation,) = emulator.evaluations(run_id=run["id"])
    result = {name: evaluation[name] for name in ("label", "score", "explanation")}
    assert result == {"label": "bad", "score": 0.25, "explanation": "It says 90 days."}
    (request,) = endpoint.requests
    assert (request["path"], request["key"]) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert request["model"] == "small"
    assert all(f'"{rail}"' in request["messages"][0]["content"] for rail in choices)
    (span,) = api.rest(
        "POST", "spans?limit=1", json={"project_id": emulator.project_id, "filter": AGENTS}
    ).json()["spans"]
    texts = (span["attributes"]["input.value"], span["attributes"]["output.value"])
    assert endpoint.prompts == ["{}\n{}\nIs the answer good?".format(*texts)]


def test_label_may_have_quotes_case_and_prefix(api: Api, endpoint: Endpoint) -> None:
    for number, text in enumerate(("good", "LABEL: Good", " **label: 'good'.**\n", '"good"', "`good`")):
        endpoint.reply = lambda text=text: completion(text)
        run, _ = evaluated(api, f"form {number}", includeExplanations=False)
        assert api.counts(run["id"]) == (1, 0, 0), text


def test_response_without_label_is_an_error_without_the_key(api: Api, endpoint: Endpoint) -> None:
    replies: tuple[Reply, ...] = (
        completion("LABEL: good\nI think."),
        completion(f"maybe {KEY}"),
        completion(""),
        completion(None),
        (200, {}, b'{"choices": [{"message": {"content": 1}}]}'),
        (200, {}, b"<html>"),
        (200, {}, b'{"choices": []}'),
        (200, {}, b"\xff"),
        (200, {"Content-Length": "99"}, b"{"),
        (401, {}, f"wrong key {KEY}".encode()),
        (503, {}, b"<html>"),
        (307, {"Location": f"{endpoint.url}/elsewhere"}, b""),
    )
    for number, reply in enumerate(replies):
        endpoint.reply = lambda reply=reply: reply
        run, record = evaluated(api, f"reply {number}")
        assert (run["status"], api.counts(run["id"])) == ("COMPLETED", (0, 1, 0)), reply
        assert "small" in record["note"]
        assert KEY not in json.dumps(record)
    assert len(endpoint.requests) == len(replies)
    # The next response counts again.
    endpoint.reply = lambda: completion("good")
    run, _ = evaluated(api, "after errors")
    assert api.counts(run["id"]) == (1, 0, 0)


def test_forced_errors_and_code_evaluators_are_not_sent(
    api: Api, emulator: Emulator, endpoint: Endpoint
) -> None:
    emulator.next_run(RunFate(error_rate=0.5))
    code = {"name": "json", "position": 2, "evaluationClass": "JSON_PARSEABLE"}
    run_id = api.run(api.create(codeEvaluators=[code]), maxSpans=4)
    finished(api, run_id)
    assert api.counts(run_id) == (2, 2, 0)
    assert len(endpoint.requests) == 2
    names = sorted(each["name"] for each in emulator.evaluations(run_id=run_id))
    assert names == ["answer quality", "answer quality", "json", "json"]


def test_mapped_columns_fill_the_prompt(api: Api, emulator: Emulator, endpoint: Endpoint) -> None:
    endpoint.reply = lambda: completion("correct")
    mapped = {"input": "attributes.user.id", "output": "attributes.output.value"}
    mapped["reference"] = "attributes.output.value"
    evaluator = {"evaluator_id": emulator.evaluator_ids["correctness"], "column_mappings": mapped}
    body = {"name": "mapped", "type": "TEMPLATE_EVALUATION", "project_id": emulator.project_id}
    body |= {"query_filter": AGENTS, "evaluators": [evaluator]}
    run_id = api.run(api.rest("POST", "tasks", json=body).json()["id"], maxSpans=3)
    assert finished(api, run_id)["status"] == "COMPLETED"
    assert len(endpoint.prompts) == 3
    assert all(prompt.startswith("Question: user-") for prompt in endpoint.prompts)


def test_slow_model_delays_neither_requests_nor_stop(endpoint: Endpoint) -> None:
    release = threading.Event()

    def late() -> Reply:
        release.wait(60)
        return completion("good")

    endpoint.reply = late
    try:
        with Emulator(settings(endpoint.url)) as emulator:
            api = Api(emulator)
            cancelled = api.run(api.create(), maxSpans=4)
            eventually(lambda: len(endpoint.requests) == 4)
            assert api.read(cancelled)["status"] == "RUNNING"
            api.rest("POST", f"task-runs/{cancelled}/cancel")
            release.set()
            other = api.run(api.create(name="other"), maxSpans=4)
            assert finished(api, other)["status"] == "COMPLETED"
            # Evaluations that arrive after the cancellation are discarded.
            assert (api.read(cancelled)["status"], api.counts(cancelled)) == ("CANCELLED", (0, 0, 0))
            assert len(endpoint.requests) == 8
            release.clear()
            api.run(api.create(name="deleted"), maxSpans=4, overrideEvaluations=True)
            eventually(lambda: len(endpoint.requests) == 12)
            emulator.reset()
            release.set()
            again = api.run(api.create(), maxSpans=4)
            assert finished(api, again)["status"] == "COMPLETED"
            assert {each["run_id"] for each in emulator.evaluations()} == {again}
            release.clear()
            api.run(api.create(name="unfinished"), maxSpans=4, overrideEvaluations=True)
            eventually(lambda: len(endpoint.requests) == 20)
            api.http.close()
            began = time.monotonic()
        assert time.monotonic() - began < 1
    finally:
        release.set()


def test_silent_endpoint_times_out(endpoint: Endpoint) -> None:
    release = threading.Event()
    endpoint.reply = lambda: (200, {}, b"x" * release.wait(60))
    evaluator = Evaluator(name="quality", kind="template", template="Good?", rails=["bad", "good"])
    offline = Outcome([(evaluator, Evaluation("good", None, None))])
    unit = Unit("span", "s1", ({"span_id": "s1"},))
    judge = LlmJudge(endpoint.url, None, "small", timeout=0.2)
    try:
        outcomes = asyncio.run(judge.evaluate([(unit, offline)], {}))
    finally:
        release.set()
    assert [(outcome.failed, outcome.evaluations) for outcome in outcomes] == [(True, [])]
    [request] = endpoint.requests
    assert request["key"] is None


def test_model_options_invalid_rejected_without_key(endpoint: Endpoint) -> None:
    for fields in (
        {"judge_url": "ftp://127.0.0.1/v1"},
        {"judge_url": "127.0.0.1:80"},
        {"judge_url": "http://"},
        {"judge_model": None},
    ):
        with pytest.raises(ValidationError) as caught:
            settings(**{"url": endpoint.url, **fields})
        assert KEY not in str(caught.value)
    assert KEY not in repr(settings(endpoint.url))
    with EmulatorProcess(settings(f"{endpoint.url}/chat/completions")) as emulator:
        command = Path(f"/proc/{emulator.pid}/cmdline").read_text(encoding="utf-8")
        assert KEY not in command
        page = requests.get(emulator.url, timeout=60).text
        assert endpoint.url in page
        assert KEY not in page
        run, _ = evaluated(Api(emulator))
        assert run["num_successes"] == 1
    assert [request["path"] for request in endpoint.requests] == ["/v1/chat/completions"]
    assert endpoint.requests[0]["key"] == f"Bearer {KEY}"

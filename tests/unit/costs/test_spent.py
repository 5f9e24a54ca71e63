"""Estimates against what is spent: a model's endpoint counts the tokens of 100 random cases."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.emulator_api import eventually
from tests.unit.costs.conftest import WINDOW, spans

CASES = 100
SPANS_OF_CASE = 12
WORDS = [
    "the",
    "refund",
    "of",
    "your",
    "order",
    "takes",
    "about",
    "five",
    "business",
    "days,",
    "because",
    "our",
    "warehouse",
    "has",
    "to",
    "inspect",
    "damaged",
    "products",
    "first;",
    "ask",
    "support",
    "(support@example.com)",
    "for",
    "order",
    "#48213,",
    "or",
    "read",
    "https://example.com/returns",
    '{"status":',
    '"pending",',
    '"items":',
    "[3,",
    "17]}",
    "Straßenbahn",
    "überprüfen",
    "déjà",
    "vu",
    "заказ",
    "повреждён",
    "退款",
    "需要",
    "時間",
]


def count_tokens(text: str) -> int:
    """Count as a tokenizer of subwords does: 6 letters of ASCII, 2 other letters, 3 digits or 2 signs."""
    pieces = re.findall(r"[A-Za-z]{1,6}|[^\W\d_A-Za-z]{1,2}|\d{1,3}|[^\w\s]{1,2}|_", text)
    return len(pieces)


class Model:
    """An endpoint of chat completions that reports its usage."""

    def __init__(self) -> None:
        model = self
        self.draw = random.Random(1)
        self.spent = [Counter[str]() for _ in range(CASES)]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = json.dumps(model.answer(body)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        system, user = (message["content"] for message in body["messages"])
        text = "LABEL: correct"
        if "Explain" in system:
            text = " ".join(self.draw.choices(WORDS, k=self.draw.randint(15, 60))) + f"\n{text}"
        usage = {
            "prompt_tokens": count_tokens(system) + count_tokens(user) + 8,
            "completion_tokens": count_tokens(text),
        }
        (case,) = re.findall(r"case-(\d+)", user)
        self.spent[int(case)].update(usage, calls=1)
        return {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    thread = threading.Thread(target=model.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield model
    model.server.shutdown()
    model.server.server_close()
    thread.join(timeout=5)


def text(draw: random.Random, mean: float, skew: float) -> str:
    """Return a text whose length is skewed: most are short, and some very long."""
    length = min(3_000, max(1, int(draw.lognormvariate(0, skew) * mean)))
    return " ".join(draw.choices(WORDS, k=length))


@pytest.mark.slow
def test_estimates_contain_spent_tokens_in_90_of_100_cases(costs_of: Any, model: Model) -> None:
    draw = random.Random(20260110)
    given = spans(CASES * SPANS_OF_CASE)
    cases = [draw.choice([(3, 0.3), (30, 0.8), (60, 1.5)]) for _ in range(CASES)]
    for number, span in enumerate(given):
        case = number % CASES
        span["name"] = f"case {case}"
        for key in ("input.value", "output.value"):
            span["attributes"][key] = text(draw, *cases[case])
        span["attributes"]["input.value"] += f" case-{case}"
    judge = {"judge_url": model.url, "judge_key": "k", "judge_model": "small"}
    costs = costs_of(given, **judge)
    evaluators = {
        (length, explains): costs.evaluator(
            f"answers_{length}_{explains}",
            template=" ".join(draw.choices(WORDS[:20], k=length)).replace("{", "").replace("}", "")
            + " Question: {input} Answer: {output}",
            include_explanations=explains,
        )
        for length in (5, 300)
        for explains in (False, True)
    }
    estimates, runs = [], []
    for case in range(CASES):
        task_id = costs.task(
            f"case {case}",
            draw.choice(list(evaluators.values())),
            query_filter=f"name = 'case {case}'",
            sampling_rate=draw.choice([1, 1, 0.5]),
        )
        estimates.append(costs.hook.estimate_run(task_id, **WINDOW))
        runs.append(costs.hook.run_online_task({"online_task_id": task_id, **WINDOW}))
    eventually(lambda: all(costs.hook.get_task_run(run_id).is_over for run_id in runs))
    contained: Counter[str] = Counter()
    for estimate, spent in zip(estimates, model.spent, strict=True):
        ranges = {
            "calls": estimate.evaluations,
            "prompt_tokens": estimate.input_tokens,
            "completion_tokens": estimate.output_tokens,
        }
        contained.update(name for name, (low, high) in ranges.items() if low <= spent[name] <= high)
    assert contained["calls"] == CASES
    assert contained["prompt_tokens"] >= 0.9 * CASES
    assert contained["completion_tokens"] >= 0.9 * CASES
    # A range that contains everything would be of no use.
    exact = [each.input_tokens for each in estimates if each.sampling_rate == 1]
    assert sorted(tokens.high / tokens.low for tokens in exact)[len(exact) // 2] < 3
    total = sum(model.spent, Counter[str]())
    assert costs.emulator.usage() == {
        "calls": total["calls"],
        "input_tokens": total["prompt_tokens"],
        "output_tokens": total["completion_tokens"],
    }


@pytest.mark.parametrize("seed", range(5))
def test_estimate_from_sampled_texts_contains_spent_tokens(costs_of: Any, seed: int) -> None:
    draw = random.Random(seed)
    given = spans(600)
    for span in given:
        span["attributes"]["output.value"] = text(draw, 40, 1.5)
    costs = costs_of(given)
    task_id = costs.task("t", costs.evaluator("answers", include_explanations=True))
    estimate = costs.hook.estimate_run(task_id, **WINDOW)
    costs.run(task_id)
    spent = costs.emulator.usage()
    assert estimate.evaluations.low <= spent["calls"] <= estimate.evaluations.high
    assert estimate.input_tokens.low <= spent["input_tokens"] <= estimate.input_tokens.high
    assert estimate.output_tokens.low <= spent["output_tokens"] <= estimate.output_tokens.high

"""Run eval tasks on the emulator, and read their results."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.responses import Evaluation, Span
from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from airflow_provider_online_tasks.inputs.eval_tasks import EvalTaskInput
from airflow_provider_online_tasks.inputs.runs import RunInput
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.results.history import RESULTS_KEY

NOW = datetime.now(UTC).replace(microsecond=0)


def evaluator(name="correctness", **more):
    return {
        "name": name,
        "template": "Right? {attributes.output.value}",
        "rails": ["correct", "incorrect"],
        "classification_choices": {"correct": 1, "incorrect": 0},
        "include_explanations": True,
        **more,
    }


def tone(**more):
    return evaluator(
        "tone",
        template="Is it toxic? {attributes.output.value}",
        rails=["polite", "toxic"],
        classification_choices={"polite": 1, "toxic": 0},
        **more,
    )


def run_task(
    arize,
    *,
    evaluators=None,
    query_filter=None,
    start=NOW - timedelta(days=2),
    end=NOW,
    while_running=lambda: None,
    **run,
):
    with OnlineTasksHook() as hook:
        task_id = hook.create_eval_task(
            EvalTaskInput(
                name=f"task {len(arize.tasks())}",
                model_id=arize.project_id,
                query_filter=query_filter,
                template_evaluators=evaluators or [evaluator()],
                llm_config={"model_name": "GPT_4o", "provider": "openAI"},
            )
        )
        run_id = hook.run_online_task(
            RunInput(online_task_id=task_id, data_start_time=start, data_end_time=end, **run)
        )
        for _ in range(50):
            if hook.get_task_run(run_id).is_over:
                break
            while_running()
        assert hook.get_task_run(run_id).is_over
    return task_id, run_id


def context(records=()):
    """Return the context of a task whose records of earlier windows are these; it adds its own."""

    def push(*, key, value):
        if key == RESULTS_KEY and isinstance(records, list):
            records.append(value)

    def pull(**_):
        return records[-1] if records else None

    return {"ti": SimpleNamespace(xcom_push=push, xcom_pull=pull, map_index=-1)}


def read(*, records=(), **arguments):
    return EvalResultsOperator(task_id="results", **arguments).execute(context(records))


def spans_file(folder, count, *, begin=-86_000, seconds=80_000):
    """Write a file of spans of the day before NOW; every third output is rude."""
    path = folder / "spans.jsonl"
    with path.open("w") as lines:
        for number in range(count):
            at = NOW + timedelta(seconds=begin + seconds * number / count)
            attributes = {
                "input.value": f"Question {number}",
                "output.value": "You stupid idiot, shut up."
                if number % 3 == 0
                else "Thank you, with pleasure.",
                "metadata.tier": ("free", "paid")[number % 2],
            }
            lines.write(
                json.dumps(
                    {
                        "name": "answer",
                        "kind": "LLM",
                        "start_time": wire_time(at),
                        "end_time": wire_time(at + timedelta(seconds=1)),
                        "attributes": attributes,
                    }
                )
                + "\n"
            )
    return path


@contextmanager
def arize_with(monkeypatch, spans):
    settings = EmulatorSettings(
        run_seconds=0, queries_per_minute=None, mutations_per_minute=None, spans=spans
    )
    with Emulator(settings) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_ARIZE_ONLINE_TASKS_DEFAULT", emulator.connection_json)
        yield emulator


def spans(count, *, score=lambda place: place / 100, label=lambda place: "ok", metadata=None):
    for place in range(count):
        evaluation = Evaluation(
            name="e",
            label=label(place),
            score=score(place),
            explanation=None,
            metadata=metadata if metadata is not None else {"run_id": "r", "task_id": "t"},
        )
        at = wire_time(NOW - timedelta(seconds=place))
        yield Span(span_id=str(place), trace_id=None, name=None, start_time=at, evaluations=(evaluation,))

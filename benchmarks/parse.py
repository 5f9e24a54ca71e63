"""The part of a DAG file's parse time that the provider causes."""

from __future__ import annotations

from typing import Any

from benchmarks.measuring import Bench, probe

OURS = [
    f"airflow_provider_online_tasks.{name}"
    for name in ("operators.eval_tasks", "operators.runs", "operators.results", "sensors.runs")
]
PEER = ["airflow.providers.arize_ax.operators.tasks", "airflow.providers.arize_ax.sensors.arize_ax"]
MODULES = {"ours": OURS, "peer": PEER}
TASK, RUN, MODEL = "T25saW5lVGFzazoxOnFSd1g=", "VGFza1J1bjoxOnFSd1g=", "TW9kZWw6MTpxUndY"
WINDOW = {"data_start_time": "2026-01-01", "data_end_time": "2026-01-02"}
OPERATORS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "ours": [
        (
            OURS[0],
            "CreateEvalTaskOperator",
            {
                "name": "tone",
                "model_id": MODEL,
                "template_evaluators": {"name": "tone", "template": "{input}", "rails": ["good", "bad"]},
                "llm_config": {"model_name": "GPT_4o", "provider": "openAI"},
            },
        ),
        (OURS[1], "RunOnlineTaskOperator", {"online_task_id": TASK, **WINDOW}),
        (OURS[3], "OnlineTaskRunSensor", {"run_id": RUN}),
    ],
    "peer": [
        (
            PEER[0],
            "ArizeAxCreateTaskOperator",
            {"name": "tone", "eval_task_type": "template_evaluation", "evaluators": [{"evaluator_id": "E"}]},
        ),
        (PEER[0], "ArizeAxTriggerTaskRunOperator", {"task_id_param": TASK, **WINDOW}),
        (PEER[1], "ArizeAxTaskRunSensor", {"run_id": RUN}),
    ],
}


def measure(bench: Bench) -> dict[str, list[Any]]:
    """Return the samples of each side, taken in alternation."""
    samples: dict[str, list[Any]] = {side: [] for side in bench.sides}
    for side, python in bench.pairs(bench.sizes.parses):
        samples[side].append(probe(python, "parse", modules=MODULES[side], operators=OPERATORS[side]))
    return samples

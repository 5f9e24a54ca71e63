"""Mistakes of new users are rejected when the DAG is parsed, and the argument is named as it was written."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_online_tasks import (
    CancelOnlineTaskRunOperator,
    CreateEvalTaskOperator,
    DeleteOnlineTaskOperator,
    EvalGateNotifier,
    EvalGateOperator,
    EvalResultsOperator,
    EvaluatorOperator,
    FinishedRunsTrigger,
    InvalidInput,
    OnlineTaskRunSensor,
    OnlineTaskRunTrigger,
    PatchEvalTaskOperator,
    RunOnlineTaskOperator,
    SendSpansOperator,
    online_eval,
)
from airflow_provider_online_tasks.inputs.arguments import read_id

TYPES = {
    "OnlineTask": "task",
    "TaskRun": "run",
    "Model": "project",
    "Space": "space",
    "AccountOrganization": "organization",
    "Evaluator": "evaluator",
    "EvaluatorVersion": "evaluator version",
    "LlmIntegration": "LLM integration",
}
TEMPLATE: dict[str, Any] = {"name": "tone", "template": "Is {output} polite?", "rails": ["yes", "no"]}
LLM = {"model_name": "GPT_4o", "provider": "openAI"}


def global_id(type_name: str) -> str:
    return base64.b64encode(f"{type_name}:45:aBcD".encode()).decode()


TASK, RUN, PROJECT = global_id("OnlineTask"), global_id("TaskRun"), global_id("Model")


def run(**arguments: Any) -> Any:
    return RunOnlineTaskOperator(task_id="a", **{"online_task_id": TASK} | arguments)


def create(**arguments: Any) -> Any:
    defaults = {"name": "tone", "model_id": PROJECT, "template_evaluators": TEMPLATE, "llm_config": LLM}
    return CreateEvalTaskOperator(task_id="a", **defaults | arguments)


def hub(**arguments: Any) -> Any:
    evaluator = {"evaluator_id": global_id("Evaluator")} | arguments
    return create(template_evaluators=None, llm_config=None, evaluators=evaluator)


def publish(**arguments: Any) -> Any:
    llm = {"integration_id": global_id("LlmIntegration"), "model_name": "gpt-4o"}
    fields = {"template": "{output}", "classification_choices": {"yes": 1, "no": 0}, "llm_config": llm}
    return EvaluatorOperator(task_id="a", name="tone", **fields | arguments)


def delete(online_task_id: str) -> Any:
    return DeleteOnlineTaskOperator(task_id="a", online_task_id=online_task_id)


def gate(**arguments: Any) -> Any:
    fields = {"summary": {"evaluators": {}}, "rules": {"tone": {"yes": ">= 0.9"}}}
    return EvalGateOperator(task_id="a", **fields | arguments)


def group(**arguments: Any) -> Any:
    with DAG("a_dag"):
        return online_eval(**{"online_task_id": TASK} | arguments)


WITH_ID: list[tuple[str, str, Callable[[str], Any]]] = [
    ("online_task_id", "OnlineTask", lambda value: run(online_task_id=value)),
    ("online_task_id", "OnlineTask", delete),
    (
        "online_task_id",
        "OnlineTask",
        lambda value: PatchEvalTaskOperator(task_id="a", online_task_id=value, name="n"),
    ),
    ("online_task_id", "OnlineTask", lambda value: FinishedRunsTrigger(online_task_id=value)),
    ("online_task_id", "OnlineTask", lambda value: group(online_task_id=value)),
    ("run_id", "TaskRun", lambda value: OnlineTaskRunSensor(task_id="a", run_id=value)),
    ("run_id", "TaskRun", lambda value: CancelOnlineTaskRunOperator(task_id="a", run_id=value)),
    ("run_id", "TaskRun", lambda value: EvalResultsOperator(task_id="a", run_id=value)),
    (
        "run_id",
        "TaskRun",
        lambda value: SendSpansOperator(
            task_id="a", run_id=value, evaluator="tone", labels=["no"], annotation_queue_id="Q"
        ),
    ),
    ("model_id", "Model", lambda value: create(model_id=value)),
    ("evaluator_id", "Evaluator", lambda value: hub(evaluator_id=value)),
    ("evaluator_version_id", "EvaluatorVersion", lambda value: hub(evaluator_version_id=value)),
    ("integration_id", "LlmIntegration", lambda value: create(llm_config={**LLM, "integration_id": value})),
    ("space_id", "Space", lambda value: publish(space_id=value)),
]
ARGUMENTS = pytest.mark.parametrize(("name", "type_name", "construct"), WITH_ID)


@ARGUMENTS
def test_id_of_other_kind_rejected_in_words_of_ui(
    name: str, type_name: str, construct: Callable[[str], Any]
) -> None:
    construct(global_id(type_name))
    for other, word in TYPES.items():
        if other != type_name:
            with pytest.raises(InvalidInput) as caught:
                construct(global_id(other))
            message = str(caught.value)
            assert name in message
            assert word in message
            assert other not in message.replace(global_id(other), "")


@ARGUMENTS
@pytest.mark.parametrize("placeholder", ["YOUR_PROJECT_ID", "your-task-id", "<task id>", "<ID>"])
def test_placeholder_rejected(
    name: str, type_name: str, construct: Callable[[str], Any], placeholder: str
) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        construct(placeholder)
    assert placeholder in str(caught.value)


@pytest.mark.parametrize(
    "value",
    ["R", "123", base64.b64encode(b"Other:1:abcd").decode(), base64.b64encode(b"\xff\xfe").decode(), "T25s"],
)
def test_id_of_unknown_kind_accepted(value: str) -> None:
    for name in ("online_task_id", "run_id", "model_id", "The ID in the address"):
        assert read_id(value, name) == value


def test_template_evaluator_without_llm_rejected() -> None:
    own = {"integration_id": global_id("LlmIntegration"), "model_name": "gpt-4o"}
    create(llm_config=None, template_evaluators={**TEMPLATE, "llm_config": own})
    create(llm_config="{{ params.llm }}")
    hub()
    second = {**TEMPLATE, "name": "second", "llm_config": own}
    for evaluators in (TEMPLATE, [TEMPLATE], [second, TEMPLATE]):
        for model_id in (PROJECT, "{{ params.model_id }}"):
            with pytest.raises(InvalidInput, match="llm_config"):
                create(llm_config=None, template_evaluators=evaluators, model_id=model_id)


@pytest.mark.parametrize("name", ["lookback", "index_delay", "partition_length"])
@pytest.mark.parametrize(
    ("written", "iso"), [("24h", "PT24H"), ("30 min", "PT30M"), ("2 hours", "PT2H"), ("90s", "PT90S")]
)
def test_duration_in_other_notation_rejected_with_right_one(name: str, written: str, iso: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(**{name: written})
    assert {name, f"'{iso}'"} <= set(str(caught.value).replace(".", " ").replace("?", " ").split())
    run(**{name: iso})


@pytest.mark.parametrize("rules", [["correct >= 0.9"], "correct >= 0.9", ("correct", ">= 0.9"), 0.9])
def test_rules_of_other_type_rejected(rules: Any) -> None:
    for construct in (gate, group):
        with pytest.raises(InvalidInput, match=r"^rules ") as caught:
            construct(rules=rules)
        assert repr(rules) in str(caught.value)


@pytest.mark.parametrize(
    ("mistyped", "right"),
    [
        ({"min_evaluate": 20}, "min_evaluated"),
        ({"max_drops": 0.1}, "max_drop"),
        ({"min_coverge": 0.5}, "min_coverage"),
        ({"max_mising": 0.5}, "max_missing"),
        ({"each_segments": {"yes": ">= 0.9"}}, "each_segment"),
        ({"each_segment": {"yes": ">= 0.9", "min_evaluate": 20}}, "min_evaluated"),
        ({"each_segment": {"yes": ">= 0.9", "segment": ["free"]}}, "segments"),
        ({"score_p5": ">= 0.9"}, "score_p05"),
        ({"score_p999": ">= 0.9"}, "score_p99"),
        ({"score_p": ">= 0.9"}, "score_p05"),
        ({"score_avg": ">= 1.5"}, "score_mean"),
        ({"score": ">= 3"}, "score_mean"),
    ],
)
def test_rule_key_mistyped_rejected_with_right_one(mistyped: dict[str, Any], right: str) -> None:
    *_, (key, _) = (mistyped.get("each_segment") or mistyped).items()
    with pytest.raises(InvalidInput) as caught:
        gate(rules={"tone": {"yes": ">= 0.9", **mistyped}})
    assert f"tone.{key}" in str(caught.value) or key in str(caught.value)
    assert f"'{right}'" in str(caught.value)


def test_rules_without_evaluator_rejected() -> None:
    with pytest.raises(InvalidInput, match=r"^rules\['yes'\] ") as caught:
        gate(rules={"yes": ">= 0.9"})
    assert "'>= 0.9'" in str(caught.value)


def test_label_mistyped_rejected_with_right_one() -> None:
    with pytest.raises(InvalidInput) as caught:
        gate(rules={"tone": {"polit": ">= 0.9"}}, labels={"tone": ["polite", "rude"]})
    assert str(caught.value).index("'polit'") < str(caught.value).index("'polite'")


@pytest.mark.parametrize(
    ("construct", "needed", "mistyped", "right"),
    [
        (run, {}, "look_back", "lookback"),
        (group, {}, "look_back", "lookback"),
        (group, {}, "confidance", "confidence"),
        (FinishedRunsTrigger, {"online_task_id": TASK}, "con_id", "conn_id"),
        (OnlineTaskRunTrigger, {"run_id": RUN}, "pol_interval", "poll_interval"),
        (EvalGateNotifier, {}, "chanel", "channel"),
    ],
)
def test_keyword_mistyped_rejected_with_right_one(
    construct: Callable[..., Any], needed: dict[str, Any], mistyped: str, right: str
) -> None:
    with pytest.raises(TypeError) as caught:
        construct(**needed, **{mistyped: 1})
    assert f"'{mistyped}'" in str(caught.value)
    assert f"'{right}'" in str(caught.value)

"""What Arize would not evaluate is not evaluated here either."""

from __future__ import annotations

import html
import time
from typing import Any

import pytest
import requests

from airflow_provider_online_tasks.emulator import Emulator, EmulatorSettings
from airflow_provider_online_tasks.emulator.integrations import INTEGRATIONS, missing_model
from tests.support.emulator_api import AGENTS, CREATE, LLM, PATCH, Api, template_evaluator


def finished_run(api: Api, **fields: Any) -> dict[str, Any]:
    """Run a task over the agents' spans and return its run."""
    return api.read(api.run(api.create(**fields)))


def ending(run: dict[str, Any]) -> tuple[str, tuple[int, int, int]]:
    return run["status"], (run["num_successes"], run["num_errors"], run["num_skipped"])


# --- variables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{input}",
        "{attributes.no.such.path}",
        "{attributes.input.value} {attributes.nothing}",
        "{input.value}",
    ],
)
def test_variable_without_a_value_skips_every_span(api: Api, emulator: Emulator, template: str) -> None:
    run = finished_run(api, templateEvaluators=[template_evaluator(template=template)])
    status, (successes, errors, skipped) = ending(run)
    assert (status, successes, errors, run["failure_reason"]) == ("COMPLETED", 0, 0, None)
    assert skipped > 50
    assert emulator.evaluations() == []
    [known] = emulator.runs()
    assert html.escape(known["note"]) in requests.get(emulator.url, timeout=60).text


def test_only_spans_without_the_path_are_skipped(api: Api, emulator: Emulator) -> None:
    evaluator = template_evaluator(template="{attributes.input.value} {attributes.exception.type}")
    run = finished_run(api, queryFilter="attributes.input.value != null", templateEvaluators=[evaluator])
    _, (successes, errors, skipped) = ending(run)
    failed = "attributes.exception.type != null and attributes.input.value != null"
    spans = api.rest(
        "POST", "spans?limit=500", json={"project_id": emulator.project_id, "filter": failed}
    ).json()["spans"]
    assert 0 < successes == len(spans)
    assert (errors, skipped > 100) == (0, True)
    assert {each["span_id"] for each in emulator.evaluations()} == {
        span["context"]["span_id"] for span in spans
    }


def test_span_skipped_by_one_evaluator_counts_for_the_other(api: Api, emulator: Emulator) -> None:
    evaluators = [template_evaluator(), template_evaluator("unmapped", template="{input}")]
    _, (successes, errors, skipped) = ending(finished_run(api, templateEvaluators=evaluators))
    assert (successes > 50, errors, skipped) == (True, 0, 0)
    assert {each["name"] for each in emulator.evaluations()} == {"answer quality"}


def test_hub_evaluator_without_mappings_evaluates_nothing(api: Api, emulator: Emulator) -> None:
    hub = [{"evaluatorId": emulator.evaluator_ids["correctness"]}]
    run = finished_run(api, templateEvaluators=None, llmConfig=None, evaluators=hub)
    assert ending(run)[1][:2] == (0, 0)
    assert run["num_skipped"] > 50
    assert "{input}" in emulator.runs()[0]["note"]


def test_hub_variables_are_not_columns(api: Api, emulator: Emulator) -> None:
    config = {
        "name": "tone",
        "template": "{attributes.output.value}",
        "include_explanations": False,
        "use_function_calling": False,
        "classification_choices": {"bad": 0, "good": 1},
        "llm_config": {
            "ai_integration_id": INTEGRATIONS[0].id,
            "model_name": "gpt-4o",
            "invocation_parameters": {},
            "provider_parameters": {},
        },
    }
    version = {"commit_message": "First", "template_config": config}
    body = {"space_id": emulator.space_id, "name": "tone", "type": "TEMPLATE", "version": version}
    made = api.rest("POST", "evaluators", json=body).json()
    run = finished_run(api, templateEvaluators=None, llmConfig=None, evaluators=[{"evaluatorId": made["id"]}])
    assert (ending(run)[1][:2], run["num_skipped"] > 50) == ((0, 0), True)


def test_nested_attributes_are_a_value(api: Api, emulator: Emulator) -> None:
    evaluator = template_evaluator(template="{attributes.llm.input_messages}")
    run = finished_run(api, queryFilter="span_kind = 'LLM'", templateEvaluators=[evaluator])
    assert (run["num_successes"] > 50, run["num_skipped"]) == (True, 0)


@pytest.mark.parametrize(
    "path",
    [
        "attributes.retrieval.documents.contents",
        "attributes.retrieval.documents.scores",
        "attributes.llm.output_messages.contents",
        "attributes.llm.input_messages.roles",
        "attributes.llm.output_messages.0.message.content",
        "attributes.metadata",
    ],
)
def test_documented_columns_are_values(api: Api, path: str) -> None:
    run = finished_run(
        api,
        queryFilter=f"{path} IS NOT NULL",
        templateEvaluators=[template_evaluator(template=f"{{{path}}}")],
    )
    if path == "attributes.metadata":  # no column of the eval index, though a value
        assert run["num_successes"] == 0
        run = finished_run(api, name="all", templateEvaluators=[template_evaluator(template=f"{{{path}}}")])
    assert (run["num_successes"] > 50, run["num_errors"], run["num_skipped"]) == (True, 0, 0)


# --- LLM models --------------------------------------------------------------------------------------------

WRONG_MODELS: tuple[dict[str, Any], ...] = (
    {**LLM, "modelName": "GPT_9000"},
    {**LLM, "provider": "openAl"},
    {**LLM, "provider": "anthropic"},
    {**LLM, "integrationId": "TGxtSW50ZWdyYXRpb246OTk6cVJ3WA=="},
)


def test_unknown_model_cancels_the_run_after_a_second(api: Api, emulator: Emulator) -> None:
    emulator.configure(run_seconds=600)
    emulator.stop_clock()
    for number, llm in enumerate(WRONG_MODELS):
        run_id = api.run(api.create(name=f"task {number}", llmConfig=llm))
        assert api.read(run_id)["status"] == "PENDING"
        emulator.advance(2)
        run = api.read(run_id)
        assert ending(run) == ("CANCELLED", (0, 0, 0)), llm
        assert run["failure_reason"]


OWN_LLM = {
    "integrationId": INTEGRATIONS[0].id,
    "modelName": "gpt-4o",
    "invocationParameters": {},
    "providerParameters": {},
}


def test_patched_llm_config_is_used_by_evaluators_without_their_own(api: Api) -> None:
    for name, evaluator, status in (
        ("shared", template_evaluator(), "CANCELLED"),
        ("own", template_evaluator(llmConfig=OWN_LLM), "COMPLETED"),
    ):
        task_id = api.create(name=name, templateEvaluators=[evaluator])
        patch = {"onlineTaskId": task_id, "llmConfig": WRONG_MODELS[0]}
        assert "errors" not in api.graphql(PATCH, input=patch).json()
        assert api.read(api.run(task_id, overrideEvaluations=True))["status"] == status


def test_patch_without_llm_config_rejected_if_an_evaluator_uses_it(api: Api, emulator: Emulator) -> None:
    patch: dict[str, Any] = {"onlineTaskId": api.create(), "llmConfig": None}
    [error] = api.graphql(PATCH, input=patch).json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert emulator.tasks()[0]["llm_config"] == LLM
    patch["templateEvaluators"] = [template_evaluator(llmConfig=OWN_LLM)]
    assert "errors" not in api.graphql(PATCH, input=patch).json()
    assert emulator.tasks()[0]["llm_config"] is None


def test_existing_models_are_accepted() -> None:
    for provider, model in (
        ("openAI", "GPT_4o"),
        ("openAI", "gpt-4o-mini"),
        ("openAI", "GPT_4o_MINI_2024_07_18"),
        ("openAI", "GPT_3_5_TURBO_1106"),
        ("openAI", "GPT_4_0125_PREVIEW"),
        ("openAI", "GPT_4_32k"),
        ("openAI", "CHATGPT_4o_LATEST"),
        ("openAI", "O1_PREVIEW_2024_09_12"),
        ("openAI", "o3-mini"),
        ("openAI", "gpt-4.1-nano"),
        ("openAI", "gpt-5.1"),
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "CLAUDE_3_5_SONNET_LATEST"),
        ("anthropic", "claude-3-haiku-20240307"),
        ("gemini", "GEMINI_2_0_FLASH"),
        ("vertexAI", "gemini-1.5-pro"),
        ("awsBedrock", "anthropic.claude-v2"),
        ("azureOpenAI", "our-deployment"),
        ("custom", "llama"),
    ):
        assert missing_model({"provider": provider, "modelName": model}) is None, model
        assert provider in {each.provider for each in INTEGRATIONS}


def test_long_model_name_is_rejected_quickly() -> None:
    reason = missing_model({"provider": "anthropic", "modelName": "claude-" + "2" * 1_000_000 + "!"})
    assert reason is not None
    assert len(reason) < 1000


def test_missing_labels_fail_the_run(api: Api) -> None:
    run = finished_run(api, templateEvaluators=[template_evaluator(rails=None)])
    assert ending(run) == ("FAILED", (0, 0, 0))
    assert run["failure_reason"]


def test_choices_replace_rails(api: Api) -> None:
    evaluator = template_evaluator(rails=None, classificationChoices={"bad": 0, "good": 1})
    assert finished_run(api, templateEvaluators=[evaluator])["num_successes"] > 50


# --- filters ------------------------------------------------------------------------------------------------

UNKNOWN = "attributes.user.tier = 'gold'"


def test_filter_on_unknown_attribute_is_rejected(api: Api, emulator: Emulator) -> None:
    task = {
        "name": "x",
        "modelId": emulator.project_id,
        "queryFilter": UNKNOWN,
        "templateEvaluators": [template_evaluator()],
        "llmConfig": LLM,
    }
    [error] = api.graphql(CREATE, input=task).json()["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "attributes.user.tier" in error["message"]
    response = api.rest("POST", "spans", json={"project_id": emulator.project_id, "filter": UNKNOWN})
    assert (response.status_code, "attributes.user.tier" in response.json()["detail"]) == (422, True)


def test_filter_outside_the_eval_index_matches_nothing(api: Api, emulator: Emulator) -> None:
    query_filter = f"{AGENTS} AND attributes.metadata CONTAINS 'hearth'"
    run = finished_run(api, queryFilter=query_filter)
    assert ending(run) == ("COMPLETED", (0, 0, 0))
    assert "attributes.metadata" in emulator.runs()[0]["note"]
    spans = api.rest("POST", "spans", json={"project_id": emulator.project_id, "filter": query_filter})
    assert len(spans.json()["spans"]) > 10


@pytest.mark.parametrize(
    "query_filter",
    [
        "attributes.metadata.plan = 'hearth'",
        "attributes.retrieval.documents.contents CONTAINS 'Ember'",
        "attributes.llm.input_messages CONTAINS 'Ember'",
        "attributes.llm.input_messages.roles CONTAINS 'system'",
        "attributes.exception.type LIKE '%Timeout%'",
        "attributes.error.type LIKE '%Timeout%'",
        "event.attributes CONTAINS 'TimeoutError'",
    ],
)
def test_documented_columns_are_filters_of_spans(api: Api, emulator: Emulator, query_filter: str) -> None:
    body = {"project_id": emulator.project_id, "filter": query_filter}
    answer = api.rest("POST", "spans?limit=500", json=body)
    assert answer.status_code == 200, answer.text
    assert 0 < len(answer.json()["spans"]) < 500


def test_filter_on_unknown_metadata_key_is_rejected(api: Api, emulator: Emulator) -> None:
    body = {"project_id": emulator.project_id, "filter": "attributes.metadata.colour = 'red'"}
    assert "attributes.metadata.colour" in api.rest("POST", "spans", json=body).text


def test_slow_regular_expression_does_not_block_the_server(api: Api) -> None:
    code = {
        "name": "slow",
        "position": 0,
        "evaluationClass": "MatchesRegex",
        "spanAttributes": ["attributes.output.value"],
        "evaluationInputParams": {"pattern": "^(.+)(.+)(.+)(.+)(.+)(.+)\\6\\5\\4\\3\\2\\1$"},
    }
    began = time.monotonic()
    run = finished_run(
        api,
        queryFilter="attributes.output.value != null",
        templateEvaluators=None,
        llmConfig=None,
        codeEvaluators=[code],
    )
    assert (run["status"], run["num_errors"] > 50) == ("COMPLETED", True)
    assert time.monotonic() - began < 200


# --- code ---------------------------------------------------------------------------------------------------

IMPORTS = (
    "from arize.experimental.datasets.experiments.evaluators.base import CodeEvaluator, EvaluationResult"
)
GOOD = """
class Polite(CodeEvaluator):
    def evaluate(self, *, dataset_row=None, **kwargs):
        return EvaluationResult(label="pass", score=1.0)
"""
WRONG_CODE = (
    "class Polite(CodeEvaluator): def",
    "class Other(CodeEvaluator): ...",
    GOOD.replace("CodeEvaluator", "Thing"),
    GOOD.replace("def evaluate", "def judge"),
    GOOD.replace("self, *, dataset_row=None, **kwargs", "self, **kwargs"),
    GOOD.replace("self, *, dataset_row=None, **kwargs", "answer"),
    "import json\n" + GOOD,
)
WRONG_IMPORTS = [
    None,
    "import json",
    "from arize.experiments import CodeEvaluator",
    IMPORTS.replace("CodeE", "E"),
]


def code_evaluator(**fields: Any) -> dict[str, Any]:
    return {
        "name": "polite",
        "position": 0,
        "evaluationClass": "Polite",
        "packageImports": IMPORTS,
        **fields,
    }


def test_invalid_code_cancels_the_run(api: Api) -> None:
    wrong = [code_evaluator(evalClassCodeBlock=code) for code in WRONG_CODE]
    wrong += [code_evaluator(evalClassCodeBlock=GOOD, packageImports=imports) for imports in WRONG_IMPORTS]
    for number, code in enumerate(wrong):
        run = finished_run(
            api, name=f"task {number}", templateEvaluators=None, llmConfig=None, codeEvaluators=[code]
        )
        assert ending(run) == ("CANCELLED", (0, 0, 0)), code
        assert run["failure_reason"]


def code_of_the_hub(api: Api, emulator: Emulator, **config: Any) -> Any:
    version = {"commit_message": "First", "code_config": {"name": "polite", **config}}
    body = {"space_id": emulator.space_id, "name": "polite", "type": "CODE", "version": version}
    return api.rest("POST", "evaluators", json=body)


@pytest.mark.parametrize(
    ("variables", "status"), [(["output"], "COMPLETED"), (["attributes.output.value"], "CANCELLED")]
)
def test_code_variables_must_be_parameters_of_evaluate(
    api: Api, emulator: Emulator, variables: list[str], status: str
) -> None:
    code = GOOD.replace("dataset_row", "output")
    made = code_of_the_hub(
        api, emulator, type="CUSTOM", code=code, imports=IMPORTS, variables=variables
    ).json()
    run = finished_run(api, templateEvaluators=None, llmConfig=None, evaluators=[{"evaluatorId": made["id"]}])
    assert run["status"] == status


def test_hub_code_evaluator_uses_its_own_filter(api: Api, emulator: Emulator) -> None:
    made = code_of_the_hub(
        api,
        emulator,
        type="MANAGED",
        managed_evaluator="JSON_PARSEABLE",
        variables=["attributes.output.value"],
        query_filter="span_kind = 'TOOL'",
    ).json()
    evaluators = [{"evaluatorId": made["id"]}]
    run = finished_run(api, queryFilter=None, templateEvaluators=None, llmConfig=None, evaluators=evaluators)
    spans = api.rest(
        "POST", "spans?limit=500", json={"project_id": emulator.project_id, "filter": "span_kind = 'TOOL'"}
    ).json()["spans"]
    assert run["num_successes"] == len(spans) > 0


@pytest.mark.parametrize(
    ("parameters", "refusal"),
    [
        (None, "pattern"),
        ([{"name": "pattern", "type": "TEXT", "default_value": "x"}], "static_params.0"),
        ([{"name": "pattern", "type": "REGEX", "default_value": ["x"]}], "default_value"),
        ([{"name": "pattern", "type": "REGEX", "value": "x"}], "value"),
    ],
)
def test_static_parameters_are_checked(
    api: Api, emulator: Emulator, parameters: list[Any] | None, refusal: str
) -> None:
    answer = code_of_the_hub(
        api,
        emulator,
        type="MANAGED",
        managed_evaluator="MATCHES_REGEX",
        variables=["attributes.output.value"],
        static_params=parameters,
    )
    assert (answer.status_code, refusal in answer.json()["detail"]) == (422, True)


def test_unknown_managed_evaluator_cancels_the_run(api: Api) -> None:
    run = finished_run(api, templateEvaluators=None, llmConfig=None, codeEvaluators=[code_evaluator()])
    assert ending(run) == ("CANCELLED", (0, 0, 0))
    assert "Polite" in run["failure_reason"]


def test_custom_code_is_never_run(api: Api) -> None:
    run = finished_run(
        api,
        templateEvaluators=None,
        llmConfig=None,
        codeEvaluators=[code_evaluator(evalClassCodeBlock=GOOD)],
    )
    status, (successes, errors, skipped) = ending(run)
    assert (status, successes, errors > 50, skipped) == ("COMPLETED", 0, True, 0)
    assert "polite" in run["failure_reason"]


@pytest.mark.parametrize("attribute", [5, ["attributes.output.value"], {"path": "attributes.output.value"}])
def test_attribute_of_a_code_evaluator_that_is_no_text_is_an_error(api: Api, attribute: Any) -> None:
    code = code_evaluator(
        evaluationClass="JsonParseable", evaluationInputParams={"span_attribute": attribute}
    )
    run = finished_run(api, templateEvaluators=None, llmConfig=None, codeEvaluators=[code])
    assert (run["status"], run["num_successes"], run["num_errors"] > 50) == ("COMPLETED", 0, True)


def test_run_with_errors_only_says_why(api: Api) -> None:
    regex = code_evaluator(evaluationClass="MatchesRegex", evaluationInputParams={"pattern": "("})
    run = finished_run(api, templateEvaluators=None, llmConfig=None, codeEvaluators=[regex])
    assert (run["status"], run["num_successes"], run["num_errors"] > 50) == ("COMPLETED", 0, True)
    assert "'('" in run["failure_reason"]


def test_check_of_a_missing_attribute_skips_the_span(api: Api) -> None:
    code = {
        "name": "is json",
        "position": 0,
        "evaluationClass": "JSONParseable",
        "spanAttributes": ["attributes.no.such"],
    }
    run = finished_run(api, templateEvaluators=None, llmConfig=None, codeEvaluators=[code])
    assert (run["num_successes"], run["num_errors"], run["num_skipped"] > 50) == (0, 0, True)


def test_inline_evaluator_has_an_empty_id(api: Api) -> None:
    # Arize's SDK reads the field as a required text up to 8.58: null would make the list of tasks unreadable.
    api.create()
    [task] = api.rest("GET", "tasks").json()["tasks"]
    assert [each["evaluator_id"] for each in task["evaluators"]] == [""]


# --- continuous tasks ---------------------------------------------------------------------------------------


def test_continuous_task_evaluates_new_spans_every_two_minutes(tmp_path: Any) -> None:
    spans = tmp_path / "spans.jsonl"
    line = (
        '{{"name": "agent", "kind": "AGENT", "start_time": {0}, "attributes": {{"input.value": "Hello"}}}}\n'
    )
    spans.write_text("".join(line.format(start) for start in (-3600, 60, 90, 200)))
    settings = EmulatorSettings(run_seconds=0, spans=spans, queries_per_minute=None)
    with Emulator(settings) as emulator:
        api = Api(emulator)
        judge = template_evaluator(template="{attributes.input.value}")
        task_id = api.create(runContinuously=True, queryFilter=AGENTS, templateEvaluators=[judge])
        look_until(emulator, lambda: emulator.tasks()[0]["continuous_until"] is not None)
        emulator.advance(110)
        assert emulator.runs() == []
        emulator.advance(15)
        look_until(emulator, lambda: len(emulator.runs(task_id)) == 1)
        emulator.advance(130)
        look_until(emulator, lambda: len(emulator.runs(task_id)) == 2)
        assert [run["num_successes"] for run in emulator.runs(task_id)] == [2, 1]
        emulator.advance(600)
        assert len(emulator.runs(task_id)) == 2


def test_continuous_task_without_data_leaves_other_tasks_running(tmp_path: Any) -> None:
    spans = tmp_path / "spans.jsonl"
    line = (
        '{{"name": "agent", "kind": "AGENT", "start_time": {0}, "attributes": {{"input.value": "Hello"}}}}\n'
    )
    spans.write_text("".join(line.format(start) for start in (-3600, 60, 200)))
    settings = EmulatorSettings(run_seconds=0, spans=spans, queries_per_minute=None, no_data="task_error")
    with Emulator(settings) as emulator:
        api = Api(emulator)
        evaluators = {"templateEvaluators": [template_evaluator(template="{attributes.input.value}")]}
        # The spans match its filter, but sampling leaves none of them.
        api.create(name="empty", runContinuously=True, samplingRate=0, **evaluators)
        task_id = api.create(name="other", runContinuously=True, **evaluators)
        look_until(emulator, lambda: all(task["continuous_until"] is not None for task in emulator.tasks()))
        for runs in (1, 2):
            emulator.advance(130)
            look_until(emulator, lambda: len(emulator.runs(task_id)) == runs)  # noqa: B023
        assert {run["task_id"] for run in emulator.runs()} == {task_id}


def look_until(emulator: Emulator, seen: Any) -> None:
    from tests.support.emulator_api import eventually

    eventually(seen)

"""What Arize's Python SDK can do with an emulator: prints a capability and its outcome a line, as JSON."""

import json
import logging
import os
import tempfile
from datetime import UTC, datetime, timedelta

from arize import ArizeClient
from arize._generated import api_client as generated
from arize.tasks.types import TaskEvaluatorInput, TaskType

logging.disable(logging.CRITICAL)
given = json.loads(os.environ["GIVEN"])
host, port = given["url"].removeprefix("http://").split(":")
arize = ArizeClient(
    api_key=given["key"],
    single_host=host,
    single_port=int(port),
    api_scheme="http",
    arize_directory=tempfile.mkdtemp(),
    enable_caching=False,
)
now = datetime.now(UTC)
made = {}


def config(template):
    llm = {"ai_integration_id": given["integration_id"], "model_name": "gpt-4o"}
    return generated.TemplateConfigInput.from_dict(
        {
            "name": "tone",
            "template": template,
            "include_explanations": True,
            "use_function_calling": False,
            "classification_choices": {"bad": 0, "good": 1},
            "llm_config": {**llm, "invocation_parameters": {}, "provider_parameters": {}},
        }
    )


def projects():
    assert arize.spaces.get(space=given["space"]).id == given["space_id"]
    assert given["project_id"] in {each.id for each in arize.projects.list(space=given["space"]).projects}


def evaluators():
    made["evaluator"] = arize.evaluators.create_template_evaluator(
        name="SDK", space=given["space"], commit_message="one", template_config=config("{input}")
    ).id
    arize.evaluators.create_template_version(
        evaluator=made["evaluator"], commit_message="two", template_config=config("{input} {output}")
    )
    assert len(arize.evaluators.list_versions(evaluator=made["evaluator"]).evaluator_versions) == 2
    assert made["evaluator"] in {each.id for each in arize.evaluators.list(space=given["space"]).evaluators}


def tasks():
    attached = {"evaluator_id": made["evaluator"], "column_mappings": given["mappings"]}
    # Since 8.60 there are two shapes.
    shape = getattr(generated, "SpanEvaluatorInput", None)
    evaluator = TaskEvaluatorInput(shape(**attached)) if shape else TaskEvaluatorInput(**attached)
    made["task"] = arize.tasks.create_evaluation_task(
        name="SDK",
        task_type=TaskType.TEMPLATE_EVALUATION,
        project=given["project_id"],
        evaluators=[evaluator],
        query_filter=given["filter"],
        is_continuous=False,
    ).id
    assert made["task"] in {each.id for each in arize.tasks.list().tasks}
    assert arize.tasks.get(task=made["task"]).name == "SDK"


def runs():
    run = arize.tasks.trigger_run(
        task=made["task"], data_start_time=now - timedelta(days=3), data_end_time=now
    )
    run = arize.tasks.wait_for_run(run_id=run.id, poll_interval=0.1, timeout=600)
    assert run.num_successes > 5, run
    assert [each.id for each in arize.tasks.list_runs(task=made["task"]).task_runs] == [run.id]


def spans():
    listed = arize.spans.list(project=given["project_id"], filter="eval.tone.label IS NOT NULL", limit=500)
    assert len(listed.spans) > 5
    assert {each.name for each in listed.spans[0].evaluations} == {"tone"}
    made["span"] = listed.spans[0].context.span_id


def annotations():
    value = generated.AnnotationInput(name="review", label="Wrong")
    record = generated.AnnotateRecordInput(record_id=made["span"], values=[value])
    arize.spans.annotate(project=given["project_id"], annotations=[record])


def integrations():
    assert given["integration_id"] in {each.id for each in arize.ai_integrations.list().ai_integrations}


def queues():
    config = arize.annotation_configs.create_freeform(name="SDK", space=given["space"])
    queue = arize.annotation_queues.create(
        name="SDK",
        space=given["space"],
        annotation_config_ids=[config.id],
        annotator_emails=["ada@example.com"],
    )
    source = {"record_type": "SPAN", "project_id": given["project_id"], "span_ids": [made["span"]]}
    source |= {"start_time": (now - timedelta(days=6)).isoformat(), "end_time": now.isoformat()}
    for _ in range(2):
        arize.annotation_queues.add_records(annotation_queue=queue.id, record_sources=[source])
    [record] = arize.annotation_queues.list_records(annotation_queue=queue.id).records
    assert record.data["context.span_id"] == made["span"]


def datasets():
    dataset = arize.datasets.create(name="SDK", space=given["space"], examples=[{"question": "one"}])
    arize.datasets.append_examples(dataset=dataset.id, examples=[{"question": "two"}])
    assert len(arize.datasets.list_examples(dataset=dataset.id).examples) == 2


def others():
    for client in (arize.experiments, arize.prompts):
        status = 200
        try:
            client.list()
        except generated.exceptions.ApiException as error:
            status = error.status
        assert status == 501
    return "501"


for capability in (
    *(projects, evaluators, tasks, runs, spans, annotations),
    *(integrations, queues, datasets, others),
):
    try:
        outcome = capability() or "yes"
    except Exception as error:
        outcome = f"no: {type(error).__name__}: {error}"
    print(json.dumps([capability.__name__, outcome]))

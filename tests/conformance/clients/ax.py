"""What the command line tool ax can do with an emulator."""

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

given = json.loads(os.environ["GIVEN"])
host, port = given["url"].removeprefix("http://").split(":")
home = Path(tempfile.mkdtemp())
made = {}
AX = Path(sys.executable).with_name("ax")
PROFILE = f"""[profile]
name = "emulator"

[auth]
api_key = "{given["key"]}"

[routing]
single_host = "{host}"
single_port = "{port}"
api_scheme = "http"
"""


def ax(*arguments, as_json=True):
    output = ["--output", "json"] if as_json else []
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "NO_COLOR": "1"}
    done = subprocess.run(
        [AX, *arguments, *output],
        check=False,
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).strip()[-300:]
    if not as_json:
        return done.stdout
    begin = min(i for i in (done.stdout.find("["), done.stdout.find("{")) if i >= 0)
    return json.loads(done.stdout[begin:])


def rows(answer, field):
    return answer[field] if isinstance(answer, dict) and field in answer else answer


def projects():
    found = rows(ax("projects", "list", "--space", given["space"]), "projects")
    assert given["project_id"] in {each["id"] for each in found}


def evaluators():
    shared = [
        "--template-name",
        "tone",
        "--ai-integration-id",
        given["integration_id"],
        "--model-name",
        "gpt-4o",
    ]
    shared += ["--include-explanations", "--classification-choices", '{"bad": 0, "good": 1}']
    first = ["--name", "AX", "--space", given["space"], "--commit-message", "one", "--template", "{input}"]
    made["evaluator"] = ax("evaluators", "create-evaluator", "template", *first, *shared)["id"]
    second = ["--commit-message", "two", "--template", "{input} {output}"]
    ax("evaluators", "create-evaluator-version", "template", made["evaluator"], *second, *shared)
    found = rows(ax("evaluators", "list-versions", made["evaluator"]), "evaluator_versions")
    assert len(found) == 2


def tasks():
    evaluator = [{"evaluator_id": made["evaluator"], "column_mappings": given["mappings"]}]
    made["task"] = ax(
        "tasks",
        "create-evaluation",
        *("--name", "AX", "--task-type", "TEMPLATE_EVALUATION", "--project", given["project_id"]),
        *("--evaluators", json.dumps(evaluator), "--query-filter", given["filter"], "--no-continuous"),
    )["id"]
    assert ax("tasks", "get", made["task"])["name"] == "AX"


def runs():
    start = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    made["run"] = ax("tasks", "trigger-run", made["task"], "--data-start-time", start)["id"]
    run = ax("tasks", "wait-for-run", made["run"])
    assert run["num_successes"] > 5, run


def spans():
    project = given["project_id"]
    text = ax(
        "spans", "export", project, "--stdout", "--filter", "eval.tone.label IS NOT NULL", as_json=False
    )
    found = json.loads(text[text.index("[") :])
    assert len(found) > 5
    made["span"] = found[0]["context"]["span_id"]


def annotations():
    record = [{"record_id": made["span"], "values": [{"name": "review", "label": "Wrong"}]}]
    (home / "records.json").write_text(json.dumps(record))
    ax("spans", "annotate", given["project_id"], "--file", "records.json", as_json=False)


def integrations():
    found = rows(ax("ai-integrations", "list"), "ai_integrations")
    assert given["integration_id"] in {each["id"] for each in found}


def queues():
    named = ("--name", "AX", "--space", given["space"])
    config = ax("annotation-configs", "create", "freeform", *named)["id"]
    end = datetime.now(UTC)
    source = {"record_type": "SPAN", "project_id": given["project_id"], "span_ids": [made["span"]]}
    source |= {"start_time": (end - timedelta(days=6)).isoformat(), "end_time": end.isoformat()}
    people = ("--annotation-config-id", config, "--annotator-email", "ada@example.com")
    records = ("--record-sources", json.dumps([source]))
    queue = ax("annotation-queues", "create", *named, *people, *records)["id"]
    assert len(rows(ax("annotation-queues", "list-records", queue), "records")) == 1


def datasets():
    named = ("--name", "AX", "--space", given["space"])
    dataset = ax("datasets", "create", *named, "--json", '[{"question": "one"}]')["id"]
    ax("datasets", "append", dataset, "--json", '[{"question": "two"}]')
    text = ax("datasets", "export", dataset, "--stdout", as_json=False)
    assert len(json.loads(text[text.index("[") :])) == 2


def others():
    for resource in ("experiments", "prompts"):
        answer = "it is served"
        try:
            ax(resource, "list")
        except AssertionError as error:
            answer = str(error)
        assert "501 Not Implemented" in answer
    return "501"


(home / "profile.toml").write_text(PROFILE)
ax("profiles", "create", "emulator", "--from-file", "profile.toml", as_json=False)
for capability in (
    *(projects, evaluators, tasks, runs, spans, annotations),
    *(integrations, queues, datasets, others),
):
    try:
        outcome = capability() or "yes"
    except Exception as error:
        outcome = f"no: {type(error).__name__}: {error}"
    print(json.dumps([capability.__name__, outcome]))

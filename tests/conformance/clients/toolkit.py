"""What arize-toolkit can do with an emulator; it knows nothing of tasks, runs and REST."""

import json
import os

from arize_toolkit import Client

given = json.loads(os.environ["GIVEN"])
client = Client(
    organization="Emulated organization",
    space=given["space"],
    arize_developer_key=given["key"],
    arize_app_url=given["url"],
)


def projects():
    assert client.space_id == given["space_id"]
    assert given["project_id"] in {each["id"] for each in client.get_all_models()}


def evaluators():
    found = client.get_evaluator("correctness")
    assert client.get_evaluator_by_id(found["id"])["name"] == "correctness"


for capability in (projects, evaluators):
    try:
        capability()
        outcome = "reads" if capability is evaluators else "yes"
    except Exception as error:
        outcome = f"no: {type(error).__name__}: {error}"
    print(json.dumps([capability.__name__, outcome]))

"""Where spans go that people should look at: annotations, queues and datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_online_tasks.emulator.control.client import EmulatorControlError
from tests.support.emulator_api import AGENTS, Api, days_ago

from .test_rest import problem

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator


def agents(api: Api) -> list[dict[str, Any]]:
    body = {"project_id": api.emulator.info()["project_id"], "filter": AGENTS}
    spans: list[dict[str, Any]] = api.rest("POST", "spans", json=body).json()["spans"]
    return spans


def annotate(api: Api, record_id: str, *values: dict[str, Any], **fields: Any) -> Any:
    body = {
        "project_id": api.emulator.info()["project_id"],
        "annotations": [{"record_id": record_id, "values": list(values)}],
        **fields,
    }
    return api.rest("POST", "spans/annotate", json=body)


def test_annotation_is_written_changed_read_and_filtered(api: Api) -> None:
    span_id = agents(api)[0]["context"]["span_id"]
    first = annotate(api, span_id, {"name": "review", "label": "Wrong", "score": 0})
    assert (first.status_code, first.content) == (202, b"")
    # What is left out stays as it was.
    annotate(api, span_id, {"name": "review", "text": "Ask Ada"})
    [annotated] = [each for each in agents(api) if each["annotations"]]
    [annotation] = annotated["annotations"]
    assert {name: annotation[name] for name in ("name", "label", "score", "text")} == {
        "name": "review",
        "label": "Wrong",
        "score": 0,
        "text": "Ask Ada",
    }
    body = {"project_id": api.emulator.info()["project_id"], "filter": "annotation.review.label = 'Wrong'"}
    [found] = api.rest("POST", "spans", json=body).json()["spans"]
    assert found["context"]["span_id"] == span_id


def test_trace_is_annotated_at_its_root(api: Api, emulator: Emulator) -> None:
    root = agents(api)[0]["context"]
    value = {"name": "review", "label": "Wrong"}
    assert annotate(api, root["span_id"], value, granularity="TRACE").status_code == 202
    shown = agents(api)[0]
    assert (shown["annotations"], shown["trace_annotations"][0]["label"]) == ([], "Wrong")
    child = {"project_id": emulator.project_id, "filter": "span_kind = 'LLM'"}
    [span, *_] = api.rest("POST", "spans", json=child).json()["spans"]
    refused = annotate(api, span["context"]["span_id"], value, granularity="TRACE")
    assert problem(refused, 422)


INVALID_ANNOTATIONS: list[tuple[str | None, dict[str, Any], dict[str, Any], int]] = [
    ("nope", {"name": "a", "label": "x"}, {}, 404),
    (None, {"name": "a"}, {}, 400),
    (None, {"label": "x"}, {}, 400),
    (None, {"name": "a", "label": "x", "note": 1}, {}, 400),
    (None, {"name": "a", "label": "x"}, {"granularity": "span"}, 400),
    (None, {"name": "a", "label": "x"}, {"end_time": "2020-01-01T00:00:00Z"}, 404),
    (None, {"name": "a", "label": "x"}, {"annotations": []}, 400),
    (None, {"name": "a", "label": "x"}, {"end_time": days_ago(-0.1)}, 400),
    (None, {"name": "a", "label": "x"}, {"start_time": days_ago(-0.1)}, 400),
    (None, {"name": "a", "label": "x"}, {"start_time": days_ago(31.1)}, 400),
    (None, {"name": "a", "label": "x"}, {"start_time": days_ago(1), "end_time": days_ago(2)}, 400),
    (None, {"name": "a", "label": "x"}, {"granularity": "SESSION", "start_time": days_ago(7.1)}, 400),
]


def test_invalid_annotation_writes_nothing(api: Api) -> None:
    span_id = agents(api)[0]["context"]["span_id"]
    for record_id, value, fields, status in INVALID_ANNOTATIONS:
        assert problem(annotate(api, record_id or span_id, value, **fields), status)
    assert not any(each["annotations"] for each in agents(api))


def test_record_or_name_that_is_annotated_twice_is_rejected(api: Api, emulator: Emulator) -> None:
    span_id = agents(api)[0]["context"]["span_id"]
    value = {"name": "a", "label": "x"}
    assert problem(annotate(api, span_id, value, {"name": "a", "label": "y"}), 400)
    record = {"record_id": span_id, "values": [value]}
    twice = {"project_id": emulator.project_id, "annotations": [record, record]}
    assert problem(api.rest("POST", "spans/annotate", json=twice), 400)
    assert not any(each["annotations"] for each in agents(api))


def make_config(api: Api, name: str = "correctness", **fields: Any) -> Any:
    body = {
        "name": name,
        "space_id": api.emulator.info()["space_id"],
        "annotation_config_type": "CATEGORICAL",
        "values": [{"label": "correct", "score": 1}, {"label": "incorrect"}],
        **fields,
    }
    return api.rest("POST", "annotation-configs", json=body)


def test_annotation_config_is_created_listed_and_read(api: Api) -> None:
    created = make_config(api, optimization_direction="MAXIMIZE")
    assert created.status_code == 201
    config = created.json()
    assert (config["type"], config["optimization_direction"]) == ("CATEGORICAL", "MAXIMIZE")
    assert config["values"] == [{"label": "correct", "score": 1}, {"label": "incorrect", "score": None}]
    assert api.rest("GET", f"annotation-configs/{config['id']}").json() == config
    score = make_config(
        api,
        "usefulness",
        annotation_config_type="CONTINUOUS",
        values=None,
        minimum_score=0,
        maximum_score=5,
    ).json()
    assert (score["maximum_score"], score["optimization_direction"]) == (5, "NONE")
    text = make_config(api, "note", annotation_config_type="FREEFORM", values=None).json()
    listed = api.rest("GET", "annotation-configs").json()["annotation_configs"]
    assert listed == [text, score, config]
    [found] = api.rest("GET", "annotation-configs?name=useful").json()["annotation_configs"]
    assert found == score


def test_invalid_annotation_config_is_rejected(api: Api) -> None:
    make_config(api)
    for name, fields, status in (
        ("correctness", {}, 409),
        ("", {}, 400),
        ("a", {"values": None}, 400),
        ("a", {"values": []}, 400),
        ("a", {"values": [{"score": 1}]}, 400),
        ("a", {"minimum_score": 1}, 400),
        ("a", {"annotation_config_type": "OTHER"}, 400),
        ("a", {"optimization_direction": "UP"}, 400),
        ("a", {"space_id": "U3BhY2U6OTk6cVJ3WA=="}, 404),
    ):
        assert problem(make_config(api, name, **fields), status), fields


def make_queue(api: Api, **fields: Any) -> str:
    body = {
        "name": "review",
        "space_id": api.emulator.info()["space_id"],
        "annotation_config_ids": fields.pop("annotation_config_ids", None) or [make_config(api).json()["id"]],
        "annotator_emails": ["ada@example.com", "bob@example.com"],
        **fields,
    }
    response = api.rest("POST", "annotation-queues", json=body)
    assert response.status_code == 201, response.text
    queue_id: str = response.json()["id"]
    return queue_id


def source(api: Api, **fields: Any) -> dict[str, Any]:
    return {
        "record_type": "SPAN",
        "project_id": api.emulator.info()["project_id"],
        "start_time": days_ago(6.9),
        "end_time": days_ago(0),
        **fields,
    }


def test_spans_are_added_to_a_queue_in_order(api: Api) -> None:
    queue_id = make_queue(api)
    path = f"annotation-queues/{queue_id}/records"
    within = [each for each in agents(api) if each["start_time"] > days_ago(6.8)]
    first, second, third = (each["context"]["span_id"] for each in within[:3])
    sources = [source(api, span_ids=[second, first]), source(api, span_ids=[third])]
    added = api.rest("POST", path, json={"record_sources": sources})
    assert added.status_code == 201
    records = api.rest("GET", path).json()["records"]
    assert records == added.json()["record_sources"]
    assert [each["data"]["context.span_id"] for each in records] == [second, first, third]
    queue = api.rest("GET", f"annotation-queues/{queue_id}").json()
    assert queue["name"] == "review"
    assert [each["name"] for each in queue["annotation_configs"]] == ["correctness"]
    assert [each["email"] for each in queue["annotators"]] == ["ada@example.com", "bob@example.com"]


def test_adding_a_record_again_stores_it_once(api: Api) -> None:
    path = f"annotation-queues/{make_queue(api)}/records"
    first, second = (each["context"]["span_id"] for each in agents(api)[:2])

    def add(*sources: list[str]) -> Any:
        body = {"record_sources": [source(api, span_ids=span_ids) for span_ids in sources]}
        return api.rest("POST", path, json=body)

    assert len(add([first, first], [first]).json()["record_sources"]) == 1
    again = add([first])
    assert (again.status_code, again.json()) == (200, {"record_sources": []})
    more = add([first, second])
    assert more.status_code == 201
    [record] = more.json()["record_sources"]
    assert record["data"]["context.span_id"] == second
    assert len(api.rest("GET", path).json()["records"]) == 2


def test_records_show_annotations_evaluations_and_assigned_users(api: Api) -> None:
    api.read(api.run(api.create()))
    queue_id = make_queue(api, assignment_method="ALL")
    root = agents(api)[0]["context"]
    path = f"annotation-queues/{queue_id}/records"
    api.rest("POST", path, json={"record_sources": [source(api, span_ids=[root["span_id"]])]})
    annotate(api, root["span_id"], {"name": "correctness", "label": "correct"})
    annotate(api, root["span_id"], {"name": "tone", "label": "calm"}, granularity="TRACE")
    [record] = api.rest("GET", path).json()["records"]
    assert [each["label"] for each in record["annotations"]] == ["correct"]
    assert [each["label"] for each in record["trace_annotations"]] == ["calm"]
    assert record["session_annotations"] == []
    assert [each["name"] for each in record["evaluations"]] == ["answer quality"]
    assert [(each["user"]["email"], each["completion_status"]) for each in record["assigned_users"]] == [
        ("ada@example.com", "PENDING"),
        ("bob@example.com", "PENDING"),
    ]


def test_random_assignment_gives_each_record_one_user(api: Api) -> None:
    path = f"annotation-queues/{make_queue(api, assignment_method='RANDOM')}/records"
    span_ids = [each["context"]["span_id"] for each in agents(api)[:20]]
    api.rest("POST", path, json={"record_sources": [source(api, span_ids=span_ids)]})
    records = api.rest("GET", path).json()["records"]
    users = [[each["user"]["email"] for each in record["assigned_users"]] for record in records]
    assert sorted(set(map(tuple, users))) == [("ada@example.com",), ("bob@example.com",)]


def test_invalid_queue_is_rejected(api: Api, emulator: Emulator) -> None:
    config_id = make_config(api).json()["id"]
    body = {
        "name": "review",
        "space_id": emulator.space_id,
        "annotation_config_ids": [config_id],
        "annotator_emails": ["ada@example.com"],
    }
    for fields, status in (
        ({"assignment_method": "FAIR"}, 400),
        ({"assignment_method": "all"}, 400),
        ({"annotation_config_ids": ["nope"]}, 400),
        ({"annotation_config_ids": ["QW5ub3RhdGlvbkNvbmZpZzo5OTpxUndY"]}, 404),
        ({"annotation_config_ids": []}, 400),
        ({"name": "x" * 256}, 400),
        ({"instructions": "x" * 5001}, 400),
        ({"record_sources": [source(api, span_ids=["nope"])]}, 404),
    ):
        assert problem(api.rest("POST", "annotation-queues", json={**body, **fields}), status), fields
    assert api.rest("GET", "annotation-queues").json()["annotation_queues"] == []


INVALID_SOURCES: list[tuple[dict[str, Any], int]] = [
    ({"span_ids": []}, 400),
    ({"span_ids": ["nope"]}, 404),
    ({"span_ids": ["nope"], "start_time": days_ago(8)}, 400),
    ({"record_type": "ROW"}, 400),
    ({"record_type": "TRACE", "trace_ids": ["nope"]}, 404),
    ({"record_type": "TRACE", "trace_ids": []}, 400),
    ({"record_type": "TRACE"}, 400),
]


def test_invalid_record_source_adds_nothing(api: Api) -> None:
    path = f"annotation-queues/{make_queue(api)}/records"
    for fields, status in INVALID_SOURCES:
        response = api.rest("POST", path, json={"record_sources": [source(api, **fields)]})
        assert problem(response, status), fields
    assert api.rest("GET", path).json()["records"] == []


def test_dataset_accepts_examples(api: Api, emulator: Emulator) -> None:
    body = {"name": "failures", "space_id": emulator.space_id, "examples": [{"input": "one"}]}
    created = api.rest("POST", "datasets", json=body)
    assert created.status_code == 201
    dataset_id = created.json()["id"]
    more = [{"input": "two"}, {"input": "three"}]
    added = api.rest("POST", f"datasets/{dataset_id}/examples", json={"examples": more})
    assert added.status_code == 201
    examples = api.rest("GET", f"datasets/{dataset_id}/examples").json()["examples"]
    assert [each["input"] for each in examples] == ["one", "two", "three"]
    assert added.json()["example_ids"] == [each["id"] for each in examples[1:]]
    assert added.json()["dataset_version_id"] == created.json()["versions"][0]["id"]
    [listed] = api.rest("GET", "datasets?name=FAIL").json()["datasets"]
    assert listed["id"] == dataset_id
    assert problem(api.rest("POST", "datasets", json=body), 409)
    reserved = api.rest("POST", f"datasets/{dataset_id}/examples", json={"examples": [{"id": "mine"}]})
    assert problem(reserved, 400)


def test_reset_deletes_annotations_queues_and_datasets(api: Api, emulator: Emulator) -> None:
    make_queue(api)
    annotate(api, agents(api)[0]["context"]["span_id"], {"name": "a", "label": "x"})
    emulator.reset()
    assert api.rest("GET", "annotation-queues").json()["annotation_queues"] == []
    assert not any(each["annotations"] for each in agents(api))


def test_examples_are_searched_page_by_page(api: Api, emulator: Emulator) -> None:
    body = {"name": "d", "space_id": emulator.space_id, "examples": [{"n": number} for number in range(5)]}
    dataset_id = api.rest("POST", "datasets", json=body).json()["id"]

    def search(**fields: Any) -> Any:
        return api.rest("POST", f"datasets/{dataset_id}/examples/search", json=fields)

    first = search(limit=3).json()
    second = search(limit=3, cursor=first["pagination"]["next_cursor"]).json()
    assert [one["n"] for one in first["examples"] + second["examples"]] == [0, 1, 2, 3, 4]
    assert second["pagination"] == {"has_more": False}
    assert len(search().json()["examples"]) == 5
    for limit in (0, 501, True, "3"):
        assert problem(search(limit=limit), 400)
    assert problem(search(cursor="x"), 400)
    assert problem(search(filter="n = 3"), 400)
    assert problem(search(query="n"), 400)


def test_dataset_version_is_the_newest_or_unknown(api: Api, emulator: Emulator) -> None:
    body = {"name": "d", "space_id": emulator.space_id, "examples": [{"n": 1}]}
    dataset = api.rest("POST", "datasets", json=body).json()
    path = f"datasets/{dataset['id']}/examples"
    for version in ("", dataset["versions"][0]["id"]):
        more = {"examples": [{"n": 2}]}
        added = api.rest("POST", f"{path}?dataset_version_id={version}", json=more)
        assert added.status_code == 201
        listed = api.rest("GET", f"{path}?dataset_version_id={version}").json()["examples"]
        found = api.rest("POST", f"{path}/search", json={"dataset_version_id": version}).json()["examples"]
        assert listed == found
    assert len(found) == 3
    unknown = "RGF0YXNldFZlcnNpb246OTk6cVJ3WA=="
    assert problem(api.rest("POST", f"{path}?dataset_version_id={unknown}", json=more), 404)
    assert problem(api.rest("GET", f"{path}?dataset_version_id={unknown}"), 404)
    assert problem(api.rest("POST", f"{path}/search", json={"dataset_version_id": unknown}), 404)


@pytest.mark.parametrize("granularity", ["SPAN", "TRACE", "SESSION"])
def test_annotation_columns_are_included_and_excluded(api: Api, emulator: Emulator, granularity: str) -> None:
    newest = agents(api)[0]
    span_id, session = newest["context"]["span_id"], newest["attributes"]["session.id"]
    key = session if granularity == "SESSION" else span_id
    value = {"name": "review", "label": "Wrong", "score": 0.5}
    assert annotate(api, key, value, granularity=granularity).status_code == 202
    prefix = {"SPAN": "", "TRACE": "trace_", "SESSION": "session_"}[granularity]

    def shown(**columns: list[str]) -> list[set[str]]:
        body = {"project_id": emulator.project_id, "filter": AGENTS, **columns}
        spans = api.rest("POST", "spans?limit=500", json=body).json()["spans"]
        return [set(each) & {"label", "score"} for span in spans for each in span[f"{prefix}annotations"]]

    column = f"{prefix}annotation.review"
    assert shown() == [{"label", "score"}]
    assert shown(included_columns=[f"{column}.label"]) == [{"label"}]
    assert shown(included_columns=["attributes.input.value"]) == []
    assert shown(excluded_columns=[f"{column}.label"]) == [{"score"}]


def test_annotation_names_its_annotator(api: Api) -> None:
    annotate(api, agents(api)[0]["context"]["span_id"], {"name": "a", "label": "x"})
    [annotation] = agents(api)[0]["annotations"]
    assert annotation["annotator"]["email"] == "user@example.com"
    assert annotation["updated_at"] <= days_ago(0)


def evaluated_queue(api: Api, spans: int = 100) -> tuple[str, list[str]]:
    """Evaluate the agents of the week, and return a queue with some of them and its span IDs."""
    config = make_config(api, values=[{"label": "good", "score": 1}, {"label": "bad", "score": 0}]).json()
    queue_id = make_queue(api, annotation_config_ids=[config["id"]])
    api.read(api.run(api.create()))
    body = {"project_id": api.emulator.info()["project_id"], "filter": AGENTS, "start_time": days_ago(6.8)}
    found = api.rest("POST", f"spans?limit={spans}", json=body).json()["spans"]
    span_ids = [span["context"]["span_id"] for span in found]
    sources = {"record_sources": [source(api, span_ids=span_ids)]}
    assert api.rest("POST", f"annotation-queues/{queue_id}/records", json=sources).status_code == 201
    return queue_id, span_ids


def records_of(api: Api, queue_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.rest("GET", f"annotation-queues/{queue_id}/records?limit=500").json()[
        "records"
    ]
    return found


def labels(record: dict[str, Any]) -> tuple[str, str]:
    return record["evaluations"][0]["label"], record["annotations"][0]["label"]


def test_people_agree_with_a_perfect_evaluator_and_complete_their_records(
    api: Api, emulator: Emulator
) -> None:
    queue_id, span_ids = evaluated_queue(api)
    arguments: dict[str, Any] = {
        "evaluator": "answer quality",
        "annotation": "correctness",
        "positive": "good",
    }
    half = len(span_ids) // 2
    assert emulator.label_records(queue_id, **arguments, share=0.5) == half
    done = [record for record in records_of(api, queue_id) if record["annotations"]]
    assert len(done) == half
    assert all(evaluator == human for evaluator, human in map(labels, done))
    assert {each["completion_status"] for record in done for each in record["assigned_users"]} == {
        "COMPLETED"
    }
    [annotation] = done[0]["annotations"]
    assert annotation["annotator"]["email"] in {"ada@example.com", "bob@example.com"}
    assert annotation["score"] == (1 if annotation["label"] == "good" else 0)
    # The others are labelled later, and no record is labelled again.
    assert emulator.label_records(queue_id, **arguments) == len(span_ids) - half
    assert emulator.label_records(queue_id, **arguments) == 0
    [span] = [each for each in agents(api) if each["context"]["span_id"] == span_ids[0]]
    assert span["annotations"]


def test_people_disagree_as_often_as_sensitivity_and_specificity_say(api: Api, emulator: Emulator) -> None:
    queue_id, span_ids = evaluated_queue(api, spans=500)
    chosen = {"sensitivity": 0.9, "specificity": 0.6}
    emulator.label_records(
        queue_id, evaluator="answer quality", annotation="correctness", positive="good", **chosen
    )
    pairs = [labels(record) for record in records_of(api, queue_id)]
    assert len(pairs) == len(span_ids)
    for human, name in (("good", "sensitivity"), ("bad", "specificity")):
        agreements = [evaluator == human for evaluator, truth in pairs if truth == human]
        assert len(agreements) > 5
        assert sum(agreements) / len(agreements) == pytest.approx(chosen[name], abs=0.1)


def test_labelling_by_an_unknown_evaluator_or_label_is_rejected(api: Api, emulator: Emulator) -> None:
    queue_id, _ = evaluated_queue(api, spans=5)
    arguments: dict[str, Any] = {
        "evaluator": "answer quality",
        "annotation": "correctness",
        "positive": "good",
    }
    for wrong in (
        {"evaluator": "nope"},
        {"positive": "nope"},
        {"annotation": "nope"},
        {"sensitivity": 1.5},
        {"sensitivity": 0.5, "specificity": 0.5},
    ):
        with pytest.raises(EmulatorControlError):
            emulator.label_records(queue_id, **arguments | wrong)
    assert not any(record["annotations"] for record in records_of(api, queue_id))

"""Human labels in the results, and rules on them: real requests to the emulator."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from datetime import timedelta

import pytest

from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api.calls import list_spans
from airflow_provider_online_tasks.api.responses import Annotation, Evaluation, Span
from airflow_provider_online_tasks.exceptions import EvalGateFailed, EvalGateInconclusive, InvalidInput
from airflow_provider_online_tasks.gate import report
from airflow_provider_online_tasks.inputs.windows import DataWindow
from airflow_provider_online_tasks.notifications.eval_gate import render
from airflow_provider_online_tasks.operators.gate import EvalGateOperator
from airflow_provider_online_tasks.operators.results import EvalResultsOperator
from airflow_provider_online_tasks.results.summary import Results
from tests.support.evaluated_runs import NOW, arize_with, context, evaluator, read, run_task, tone
from tests.support.human_labels import REVIEW, add_records, annotate, create_queue

HUMAN_LABELS = {"correctness": REVIEW}
WINDOW = {"data_start_time": NOW - timedelta(days=2), "data_end_time": NOW}


def labelled_by_evaluator(arize, run_id, name="correctness"):
    """Return the IDs of the spans with each label of an evaluator."""
    spans = defaultdict(list)
    for record in arize.evaluations(run_id=run_id):
        if record["name"] == name:
            spans[record["label"]].append(record["span_id"])
    return spans


def people_say(summary, name="correctness"):
    return summary["evaluators"][name]["human_labels"]


@pytest.fixture
def labelled(arize):
    """A run on whose spans people agree with the evaluator, but for two spans."""
    _, run_id = run_task(arize)
    spans = labelled_by_evaluator(arize, run_id)
    values = {span: {"label": "correct", "score": 1} for span in spans["correct"][:12]}
    values |= {span: {"label": "incorrect"} for span in spans["incorrect"][:5]}
    values[spans["correct"][0]] = {"label": "incorrect"}
    values[spans["incorrect"][0]] = {"label": "correct"}
    annotate(arize, values)
    return run_id, spans


def test_table_has_human_labels_by_label_of_the_evaluator(arize, labelled):
    run_id, spans = labelled
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))
    assert (found["annotation"], found["labelled"]) == (REVIEW, 17)
    assert found["strata"]["correct"]["labels"] == {"correct": 11, "incorrect": 1}
    assert found["strata"]["incorrect"]["labels"] == {"incorrect": 4, "correct": 1}
    for label, stratum in found["strata"].items():
        assert stratum["evaluated"] == len(spans[label])
        assert stratum["labelled"] == sum(stratum["labels"].values())


def test_estimates_agree_with_the_table(arize, labelled):
    run_id, spans = labelled
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS, cluster_by=None))
    weight = len(spans["correct"]) / sum(map(len, spans.values()))
    agreement, correct = found["agreement"], found["labels"]["correct"]
    assert agreement["value"] == pytest.approx(weight * 11 / 12 + (1 - weight) * 4 / 5)
    assert agreement["low"] < agreement["value"] < agreement["high"]
    assert correct["share"]["value"] == pytest.approx(weight * 11 / 12 + (1 - weight) / 5)
    assert found["labels"]["incorrect"]["share"]["value"] == pytest.approx(1 - correct["share"]["value"])
    assert correct["specificity"] == pytest.approx(found["labels"]["incorrect"]["sensitivity"], abs=1e-6)
    assert -1 < correct["kappa"]["low"] < correct["kappa"]["value"] < 1
    assert 0 < correct["ac1"] < 1
    json.dumps(found, allow_nan=False)


def test_disagreements_have_both_labels_and_a_link(arize, labelled):
    run_id, spans = labelled
    listed = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))["disagreements"]
    assert {(each["span_id"], each["label"], each["human_label"]) for each in listed} == {
        (spans["correct"][0], "correct", "incorrect"),
        (spans["incorrect"][0], "incorrect", "correct"),
    }
    assert all(each["span_id"] in each["url"] for each in listed)


def test_disagreements_are_at_most_twenty_of_each_kind_in_turn(arize):
    _, run_id = run_task(arize)
    spans = labelled_by_evaluator(arize, run_id)
    swapped = {"correct": "incorrect", "incorrect": "correct"}
    annotate(arize, {span: {"label": swapped[label]} for label in spans for span in spans[label]})
    kinds = Counter(
        each["label"] for each in people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))["disagreements"]
    )
    assert kinds.total() == 20
    assert min(kinds.values()) == min(10, *map(len, spans.values()))


def test_human_labels_in_other_case_are_shown_apart(arize):
    _, run_id = run_task(arize)
    first, second, third, *_ = labelled_by_evaluator(arize, run_id)["correct"]
    annotate(arize, {first: {"label": "Correct"}, second: {"label": "correct "}, third: {"label": "unsure"}})
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))
    assert found["strata"]["correct"]["labels"] == {"Correct": 1, "correct ": 1, "unsure": 1}
    assert found["agreement"]["value"] in (0, None)
    assert len(found["disagreements"]) == 3


def test_annotation_without_label_is_counted_apart(arize):
    _, run_id = run_task(arize)
    span = labelled_by_evaluator(arize, run_id)["correct"][0]
    annotate(arize, {span: {"score": 0.5}})
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))
    assert (found["labelled"], found["without_label"], found["agreement"]) == (0, 1, None)


def test_labels_of_other_configs_and_windows_do_not_count(arize, labelled):
    run_id, spans = labelled
    annotate(arize, {spans["correct"][1]: {"name": "other", "label": "incorrect"}})
    earlier = [span for span in arize_spans(arize) if span["start_time"] < wire_time(NOW - timedelta(days=3))]
    annotate(arize, {each["context"]["span_id"]: {"label": "incorrect"} for each in earlier[:20]})
    assert people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))["labelled"] == 17


def arize_spans(arize):
    from tests.support.emulator_api import Api

    body = {"project_id": arize.project_id, "start_time": wire_time(NOW - timedelta(days=6.5))}
    return Api(arize).rest("POST", "spans?limit=500", json=body).json()["spans"]


def test_human_labels_of_traces_are_their_annotations(arize):
    _, run_id = run_task(
        arize, evaluators=[evaluator(data_granularity_type="trace")], query_filter="parent_id = null"
    )
    spans = labelled_by_evaluator(arize, run_id)
    [one, other, *_] = spans["correct"]
    annotate(arize, {one: {"label": "correct"}}, granularity="TRACE")
    annotate(arize, {other: {"label": "incorrect"}})
    found = people_say(read(run_id=run_id, granularity="trace", human_labels=HUMAN_LABELS))
    assert (found["labelled"], found["strata"]["correct"]["labels"]) == (1, {"correct": 1})


def test_results_without_human_labels_have_no_estimates(arize):
    task_id, run_id = run_task(arize)
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))
    assert (found["labelled"], found["agreement"], found["labels"]) == (0, None, {})
    assert "human_labels" not in read(run_id=run_id)["evaluators"]["correctness"]
    later = read(online_task_id=task_id, **WINDOW, human_labels=HUMAN_LABELS)
    assert people_say(later)["strata"] == found["strata"]


@pytest.mark.parametrize(("granularity", "kind"), [("span", "annotation"), ("trace", "trace_annotation")])
def test_labels_and_scores_of_annotations_are_requested(granularity, kind):
    window = DataWindow.read(WINDOW["data_start_time"], WINDOW["data_end_time"])
    call = list_spans("P", window, evaluators=["e"], granularity=granularity, annotations=["review"])
    requested = [column for column in call.body["included_columns"] if "annotation" in column]
    assert requested == [f"{kind}.review.label", f"{kind}.review.score"]


def test_baseline_has_no_human_labels(arize, labelled):
    run_id, _ = labelled
    found = read(run_id=run_id, human_labels=HUMAN_LABELS, baseline=timedelta(days=1))
    assert people_say(found)["labelled"] == 17
    assert "human_labels" not in found["baseline"]["evaluators"]["correctness"]


def counted(*annotations, evaluations=(), **arguments):
    """Return the human labels of a span with an evaluation "correct" and these annotations."""
    results = Results(
        run_id="R", online_task_id="T", evaluators=["correctness"], human_labels=HUMAN_LABELS, **arguments
    )
    of_run = Evaluation(name="correctness", label="correct", metadata={"run_id": "R"})
    at = wire_time(NOW)
    results.add(Span(span_id="s", start_time=at, evaluations=(of_run,), annotations=annotations))
    for place, evaluation in enumerate(evaluations):
        results.add(
            Span(span_id=str(place), start_time=at, evaluations=(evaluation,), annotations=annotations)
        )
    return people_say(results.summary())


def test_newest_of_several_annotations_counts_and_is_noted():
    first = Annotation(name=REVIEW, label="incorrect", updated_at=NOW)
    newest = Annotation(name=REVIEW, label="correct", updated_at=NOW + timedelta(seconds=1))
    undated = Annotation(name=REVIEW, label="incorrect")
    found = counted(newest, first, undated)
    assert (found["strata"]["correct"]["labels"], found["conflicts"]) == ({"correct": 1}, 1)
    assert counted(newest, newest)["conflicts"] == 0


def test_scope_run_counts_human_labels_of_its_evaluations_only():
    before = Evaluation(name="correctness", label="correct", metadata={"run_id": "earlier"})
    annotation = Annotation(name=REVIEW, label="correct")
    assert counted(annotation, evaluations=[before, before])["labelled"] == 3
    assert counted(annotation, evaluations=[before, before], scope="run")["labelled"] == 1


# -- the sample

SAMPLE = {
    "evaluator": "correctness",
    "is_random": True,
    "strata": {"correct": {"spans": 100, "selected": 12}, "incorrect": {"spans": 20, "selected": 5}},
    "data_start_time": wire_time(WINDOW["data_start_time"]),
    "data_end_time": wire_time(WINDOW["data_end_time"]),
}


@pytest.mark.parametrize("given", [SAMPLE, {"sent": 3, "sample": SAMPLE}, [{"sample": SAMPLE}]])
def test_random_sample_of_the_window_is_part_of_the_summary(arize, labelled, given):
    run_id, _ = labelled
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS, human_sample=given))
    assert (found["sample"], found["sample_problem"]) == (SAMPLE, None)


@pytest.mark.parametrize(
    "changed",
    [
        {"is_random": False},
        {"data_end_time": wire_time(NOW - timedelta(days=1))},
        {"data_start_time": wire_time(NOW - timedelta(days=1))},
        {"data_start_time": "?"},
        {"strata": {**SAMPLE["strata"], "correct": {"spans": 100, "selected": 11}}},
        {"strata": {"correct": {"spans": 100, "selected": 20}}},
    ],
)
def test_other_sample_has_a_problem(arize, labelled, changed):
    run_id, _ = labelled
    given = {"sample": {**SAMPLE, **changed}}
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS, human_sample=given))
    assert found["sample_problem"]


def test_each_of_several_samples_is_checked(arize, labelled):
    run_id, _ = labelled
    for samples in ([{**SAMPLE, "is_random": False}, SAMPLE], [SAMPLE, None]):
        found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS, human_sample=samples))
        assert found["sample_problem"]
    halves = {label: {"spans": 9, "selected": 6} for label in ("correct", "incorrect")}
    found = people_say(
        read(run_id=run_id, human_labels=HUMAN_LABELS, human_sample=[{**SAMPLE, "strata": halves}] * 2)
    )
    assert found["sample_problem"] is None


def test_sample_that_is_rendered_to_none_is_unknown(arize, labelled):
    run_id, _ = labelled
    operator = EvalResultsOperator(
        task_id="results", run_id=run_id, human_labels=HUMAN_LABELS, human_sample="{{ none }}"
    )
    operator.human_sample = None  # as rendered
    found = people_say(operator.execute(context(())))
    assert found["sample"] is None
    assert found["sample_problem"]


def test_no_sample_is_unknown_and_one_of_another_evaluator_is_rejected(arize, labelled):
    run_id, _ = labelled
    found = people_say(read(run_id=run_id, human_labels=HUMAN_LABELS))
    assert (found["sample"], found["sample_problem"]) == (None, None)
    for wrong in ("x", {"selected": 3}, [3], {**SAMPLE, "evaluator": "tone"}):
        with pytest.raises(InvalidInput, match="human_sample"):
            read(run_id=run_id, human_labels=HUMAN_LABELS, human_sample=wrong)


# -- arguments


@pytest.mark.parametrize(
    "wrong", ["correctness", {}, ["x"], {"correctness": ""}, {"correctness": 3}, {"": "x"}]
)
def test_wrong_human_labels_are_rejected_when_parsed(wrong):
    with pytest.raises(InvalidInput, match="human_labels"):
        EvalResultsOperator(task_id="results", run_id="R", human_labels=wrong)


def test_human_labels_of_sessions_are_rejected_when_parsed():
    with pytest.raises(InvalidInput, match="session"):
        EvalResultsOperator(task_id="results", run_id="R", granularity="session", human_labels=HUMAN_LABELS)


def test_human_labels_of_unknown_evaluator_are_rejected(arize):
    _, run_id = run_task(arize)
    with pytest.raises(InvalidInput, match="tone"):
        read(run_id=run_id, human_labels={"tone": REVIEW})


# -- rules


def answers_file(folder, *, spans, polite):
    """Write a file of spans of the day before NOW, of which so many are polite."""
    path = folder / "spans.jsonl"
    with path.open("w") as lines:
        for number in range(spans):
            at = wire_time(NOW - timedelta(seconds=60 * number + 60))
            is_polite = number * polite // spans < (number + 1) * polite // spans
            output = "Thank you, with pleasure." if is_polite else "You stupid idiot, shut up."
            attributes = {"input.value": f"Question {number}", "output.value": output}
            span = {"name": "answer", "start_time": at, "end_time": at, "attributes": attributes}
            lines.write(json.dumps(span) + "\n")
    return path


def checked(summary, rules):
    gate = EvalGateOperator(
        task_id="gate", summary=summary, rules={"tone": rules}, confidence=0.95, accept_unverified=True
    )
    try:
        return gate.execute(context())
    except (EvalGateFailed, EvalGateInconclusive) as error:
        return error.verdict


def test_evaluator_that_misses_bad_answers_passes_only_without_human_labels(monkeypatch, tmp_path):
    # 88 % of the answers are good. The evaluator finds 60 % of the others, so it calls 92.8 % good.
    with arize_with(monkeypatch, answers_file(tmp_path, spans=1000, polite=928)) as arize:
        task_id, run_id = run_task(arize, evaluators=[tone()])
        alone = checked(read(run_id=run_id), {"polite": ">= 0.9"})
        assert alone["outcome"] == "passed"

        chance, spans = random.Random(1), labelled_by_evaluator(arize, run_id, "tone")
        drawn = chance.sample(spans["polite"], 150) + chance.sample(spans["toxic"], 50)
        queue_id = create_queue(arize, ["polite", "toxic"])
        add_records(arize, queue_id, drawn)
        quality = {"positive": "polite", "sensitivity": 1.0, "specificity": 0.6}
        assert arize.label_records(queue_id, evaluator="tone", annotation=REVIEW, **quality) == 200

        summary = read(online_task_id=task_id, **WINDOW, human_labels={"tone": REVIEW})
        rules = {"calibrated": {"polite": ">= 0.9", "min_human_labels": 200, "min_specificity": 0.7}}
        verdict = checked(summary, rules)
        assert verdict["outcome"] in ("inconclusive", "failed")
        share, specificity = verdict["rules"][-2:]
        assert share["measured"] == pytest.approx(0.88, abs=0.01)
        assert share["low"] < 0.88 < share["high"]
        assert specificity["measured"] == pytest.approx(0.6, abs=0.05)
        assert not specificity["passed"]
        assert checked(summary, {"calibrated": {"polite": ">= 0.8"}})["outcome"] == "passed"


def failed_gate(run_id):
    summary = read(run_id=run_id, human_labels=HUMAN_LABELS)
    rules = {"correctness": {"calibrated": {"correct": ">= 0.99", "min_specificity": 0.99}}}
    gate = EvalGateOperator(task_id="gate", summary=summary, rules=rules)
    with pytest.raises((EvalGateFailed, EvalGateInconclusive)) as stopped:
        gate.execute(context())
    return summary, stopped.value


def test_examples_of_calibrated_rule_are_bad_answers_that_the_evaluator_accepts(arize, labelled):
    run_id, spans = labelled
    _, stopped = failed_gate(run_id)
    [example] = stopped.verdict["examples"]
    assert example["span_id"] == spans["correct"][0]
    assert (example["label"], example["human_label"]) == ("correct", "incorrect")
    assert example["input"]
    assert example["url"]


def test_verdict_has_human_labels_without_disagreements(arize, labelled, capsys):
    run_id, _ = labelled
    summary, stopped = failed_gate(run_id)
    found = stopped.verdict["human_labels"]["correctness"]
    assert found["strata"] == people_say(summary)["strata"]
    assert found["agreement"] == people_say(summary)["agreement"]
    assert "disagreements" not in found
    assert "people: incorrect" in capsys.readouterr().out


def test_notifier_shows_what_people_say(arize, labelled):
    run_id, _ = labelled
    _, stopped = failed_gate(run_id)
    rendered = render({"exception": stopped})
    for form in ("text", "markdown", "html"):
        assert "calibrated correct" in rendered[form]
        assert "17 human labels" in rendered[form]
    assert rendered["html"].count("<table>") == 2


def test_names_of_people_tables_are_escaped():
    strata = {"<b>|": {"evaluated": 3, "labels": {"<i>*": 1}}}
    found = {"e": {"annotation": "<u>", "labelled": 1, "agreement": None, "strata": strata}}
    assert not set(re.findall(r"<[biu]>", report.people_html(found)))
    assert r"\<i\>\*" in report.people_markdown(found)
    assert report.people_text({}) == report.people_html({}) == report.people_markdown({}) == ""


def test_people_tables_have_at_most_ten_labels():
    strata = {str(each): {"evaluated": 3, "labels": {f"human {each}": 1}} for each in range(200)}
    found = {"e": {"annotation": "a", "labelled": 200, "agreement": None, "strata": strata}}
    head, _, *lines = report.people_text(found).splitlines()[1:]
    assert (head.count("people: "), len(lines)) == (10, 10)

"""Templates are recognized, and UNSET marks arguments that are left out."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime

from airflow.sdk import DAG, BaseOperator

from airflow_provider_online_tasks.inputs.arguments import UNSET, Unset
from airflow_provider_online_tasks.inputs.evaluators import TemplateEvaluator
from airflow_provider_online_tasks.inputs.templating import is_templated


def test_is_templated_finds_templates_at_any_depth() -> None:
    for value in (
        "{{ ds }}",
        "{% raw %}{{input}}{% endraw %}",
        "a {# comment #}",
        ["a", "{{ b }}"],
        ("a", {"b": "{{ c }}"}),
        {"a": {"b": ["{{ c }}"]}},
        {"{{ a }}": 1},
        {"{{ a }}"},
        TemplateEvaluator(name="{{ ds }}", template="t", rails=["a", "b"]),
    ):
        assert is_templated(value), value


def test_is_templated_literal_is_not() -> None:
    for value in (
        "",
        "a { b }",
        "{output}",
        5,
        None,
        True,
        [],
        {},
        UNSET,
        datetime(2024, 1, 1),
        TemplateEvaluator,
    ):
        assert not is_templated(value), value


def test_is_templated_task_output_is() -> None:
    with DAG("a_dag"):
        output = BaseOperator(task_id="upstream").output
    assert is_templated(output)
    assert is_templated({"a": [output["key"]]})


def test_unset_survives_copying_and_is_false() -> None:
    assert copy.deepcopy(UNSET) is UNSET
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert not UNSET
    assert (repr(UNSET), str(UNSET)) == ("UNSET", "UNSET")
    assert list(Unset) == [UNSET]

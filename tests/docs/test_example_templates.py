"""Templates in the documentation use only attributes that every instrumented application has."""

from __future__ import annotations

import re

import pytest

from tests.support.pages import DOCS, PROJECT

PAGES = [PROJECT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((PROJECT / "example_dags").glob("*.py"))]
READ_BY_EXAMPLES = {page.name for page in PAGES if page.suffix == ".py"} & {
    "recurring_eval.py",
    "quality_gate.py",
    "eval_after_pipeline.py",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_templates_use_only_input_and_output(page) -> None:
    read = set(re.findall(r"\{(attributes\.[\w.]+)\}", page.read_text(encoding="utf-8")))
    assert read <= {"attributes.input.value", "attributes.output.value"}
    if page.name in READ_BY_EXAMPLES:
        assert read


# Values of Airflow that exist only if the DAG run has a logical date or a data interval.
WITH_DATE = re.compile(r"\{\{\s*(ds|ts|logical_date|data_interval_start|data_interval_end)\w*\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_file_paths_use_values_that_every_dag_run_has(page) -> None:
    paths = re.findall(r"rows_path.*|\w+://\S*\{\{.*", page.read_text(encoding="utf-8"))
    assert [path for path in paths if WITH_DATE.search(path) and "undefined" not in path] == []

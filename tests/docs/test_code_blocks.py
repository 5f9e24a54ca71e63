"""Every Python block of the README and the documentation runs, as a part of a DAG where it is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("**/*.md"))]
FENCE = re.compile(
    r"^(?P<indent>[ ]*)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)


def blocks(language):
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            if found["language"] == language:
                line = text.count("\n", 0, found.start("code")) + 1
                indent = len(found["indent"])
                code = "\n".join(row[indent:] for row in found["code"].splitlines())
                name = f"{page.relative_to(PROJECT)}:{line}"
                yield pytest.param(page, line, code, id=name)


def test_there_are_blocks_to_run():
    assert len(list(blocks("python"))) >= 8


@pytest.mark.parametrize(("page", "line", "code"), blocks("python"))
def test_a_python_block_runs(page, line, code):
    # The blocks of a page may build on one another; a block's own line numbers make its errors readable.
    earlier = [one.values[2] for one in blocks("python") if one.values[0] == page and one.values[1] < line]
    names = {"__name__": "documented"}
    for block in [*earlier, code]:
        with DAG(dag_id="documented", schedule=None):
            names["your_pipeline"] = EmptyOperator(task_id="your_pipeline")
            exec(compile("\n" * line + block, str(page), "exec"), names)


@pytest.mark.parametrize(("page", "line", "code"), blocks("json"))
def test_a_json_block_is_json(page, line, code):
    json.loads(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"

"""Every argument of the public classes is documented, in the docstring, the reference and a guide."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from airflow_provider_online_tasks import exceptions, online_eval
from tests.support.pages import DOCS
from tests.support.public_api import CLASSES, PACKAGE, arguments, public_path

REFERENCE = DOCS / "reference"
# The pages, next to the reference, that explain the arguments of each class.
GUIDES = {
    "CreateEvalTaskOperator": "tasks.md",
    "PatchEvalTaskOperator": "tasks.md",
    "DeleteOnlineTaskOperator": "tasks.md",
    "EvaluatorOperator": "tasks.md",
    "RunOnlineTaskOperator": "runs.md windows.md",
    "EstimateRunOperator": "cost.md",
    "CancelOnlineTaskRunOperator": "runs.md",
    "OnlineTaskRunSensor": "runs.md",
    "EvalResultsOperator": "results.md",
    "EvalGateOperator": "gates.md",
    "SendSpansOperator": "results.md",
    "AnnotationQueueOperator": "calibration.md",
    "AnnotationQueueSensor": "calibration.md",
    "FinishedRunsTrigger": "events.md",
}
EVERYWHERE = {"conn_id": "connection.md"}


each_class = pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)


def described(cls: type) -> set[str]:
    """Return the arguments that the docstrings of a class and its bases describe."""
    named = re.findall(r"fields are those of :class:`(\w+)`", cls.__doc__ or "")
    bases = [base for base in cls.__mro__ if base.__module__.startswith(PACKAGE)]
    texts = [one.__doc__ or "" for one in (*bases, *(CLASSES[name] for name in named))]
    return {name for text in texts for name in re.findall(r"^\s*:param (\w+):", text, re.MULTILINE)}


def test_public_classes_include_each_kind() -> None:
    assert {*GUIDES, "OnlineTasksHook", "OnlineTaskRunTrigger", "TemplateEvaluator", "RunInput"} <= set(
        CLASSES
    )


@each_class
def test_docstring_describes_every_argument(cls: type) -> None:
    assert arguments(cls) <= described(cls)


@each_class
def test_docstring_describes_only_arguments(cls: type) -> None:
    assert set(re.findall(r":param (\w+):", cls.__doc__ or "")) <= arguments(cls)


@each_class
def test_reference_has_class(cls: type) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    shown = re.findall(r"^::: (\S+)", pages, re.MULTILINE)
    assert public_path(cls) in shown


def test_reference_has_exceptions() -> None:
    assert f"::: {exceptions.__name__}\n" in (REFERENCE / "exceptions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GUIDES)
def test_guide_names_every_argument(name: str) -> None:
    for argument in arguments(CLASSES[name]):
        pages = [DOCS / page for page in EVERYWHERE.get(argument, GUIDES[name]).split()]
        assert any(names(page, argument) for page in pages), f"{pages[0].name} lacks {name}'s {argument}."


def names(page: Path, argument: str) -> bool:
    """Return whether a page names an argument as code, in its text or in an example."""
    text = page.read_text(encoding="utf-8")
    in_text = rf"`[^`\n]*\b{argument}\b[^`\n]*`"
    in_example = rf"\b{argument}="
    return re.search(f"{in_text}|{in_example}", text) is not None


@pytest.mark.parametrize("name", GUIDES)
def test_guide_has_an_example(name: str) -> None:
    text = (DOCS / GUIDES[name].split()[0]).read_text(encoding="utf-8")
    assert re.search(rf"\b{name}(\.partial)?\(", text)


def test_table_of_online_eval_has_every_argument() -> None:
    text = (DOCS / "whole-eval.md").read_text(encoding="utf-8")
    table = text.split("## Arguments")[1].split("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(inspect.signature(online_eval).parameters)

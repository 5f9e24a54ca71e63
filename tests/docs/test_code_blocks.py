"""The code blocks of the README and the documentation work: Python runs, commands exist, links resolve.

A block with a title is a complete file; tests/packaging builds projects from these and runs them.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from packaging.requirements import Requirement

from airflow_provider_online_tasks._airflow import conf
from airflow_provider_online_tasks.hooks.online_tasks import OnlineTasksHook
from tests.support.pages import PAGES, PROJECT, Block, blocks, blocks_of

PACKAGE = "airflow-provider-online-tasks"
# The code of a page uses names that the code of another page defines.
BUILDS_ON = {"gates.md": "results.md"}
BUILTINS = {"cd", "source", "export"}
TIMEOUT = 60


def is_test_file(block: Block) -> bool:
    """Return whether the block is a test file, which tests/packaging runs with pytest."""
    return (block.title or "").startswith("tests/")


def each(*languages, but=lambda block: False):
    chosen = [block for block in blocks(*languages) if not but(block)]
    return pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in chosen])


def test_code_blocks_have_a_checked_language():
    known = {"python", "py", "json", "graphql", "bash", "console", "text"}
    fences = sum(page.read_text(encoding="utf-8").count("```") for page in PAGES)
    assert len(blocks(*known)) == fences / 2
    assert len(blocks("python")) >= 20
    assert len(blocks("bash", "console")) >= 10


PAGES_WITH_PYTHON = [
    page for page in PAGES if any(b.language == "python" and not is_test_file(b) for b in blocks_of(page))
]


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks_run(page):
    # The blocks of a page build on one another, so they share names and a DAG.
    first = [page.with_name(BUILDS_ON[page.name])] if page.name in BUILDS_ON else []
    names = {"__name__": "documented"}
    with DAG(dag_id="documented", schedule=None):
        names["your_pipeline"] = EmptyOperator(task_id="your_pipeline")
        for block in itertools.chain.from_iterable(map(blocks_of, [*first, page])):
            if block.language == "python" and not is_test_file(block):
                # The offset makes the line numbers of an error those of the page.
                exec(compile("\n" * block.line + block.code, str(block.page), "exec"), names)


@each("python")
def test_imports_of_python_block_exist(block):
    files = {Path(one.title).stem for one in blocks_of(block.page) if one.title}
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name in files or find_spec(alias.name), alias.name
        elif isinstance(node, ast.ImportFrom) and node.module not in files:
            for alias in node.names:
                assert hasattr(import_module(node.module), alias.name), f"{node.module}.{alias.name}"


@each("py")
def test_code_for_another_package_compiles(block):
    compile(block.code, block.name, "exec")


@each("json")
def test_json_block_is_valid(block):
    json.loads(block.code)


@each("bash", "console")
def test_shell_block_is_valid(block):
    subprocess.run(["bash", "-n"], input=block.code, text=True, check=True, timeout=TIMEOUT)


@each("bash", "console")
def test_commands_of_shell_block_exist(block, monkeypatch):
    for words in commands(block.code):
        check_command(words, monkeypatch)


def commands(code):
    """Yield the words of each command; a quoted text may span several lines."""
    pending = ""
    for line in code.splitlines():
        pending += line + "\n"
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # the quotation continues on the next line
            continue
        pending = ""
        if words:
            yield words
    assert not pending.strip(), pending


def check_command(words, monkeypatch):
    program, arguments = Path(words[0]).name, words[1:]
    if program == "make":
        assert {word for word in arguments if "=" not in word} <= make_targets()
    elif program == "airflow":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "exit", lambda *_: pytest.fail(f"airflow has no such command: {words}"))
            airflow_parser().parse_args(arguments)
    elif arguments[:1] == ["-m"] and program.startswith("python"):
        check_module(arguments[1], arguments[2:])
    elif program == "pip":
        check_requirements([word for word in arguments[1:] if not word.startswith("-")])
    elif program == "export":
        for assignment in arguments:
            check_variable(*assignment.split("=", 1), monkeypatch)
    else:
        assert program in BUILTINS or shutil.which(program), program


@cache
def make_targets():
    return set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def airflow_parser():
    from airflow.cli.cli_parser import get_parser

    return get_parser()


def check_module(name, arguments):
    assert find_spec(name), name
    if name.startswith("airflow_provider_online_tasks"):
        options = {word.split("=")[0] for word in arguments if word.startswith("--")}
        assert options <= set(re.findall(r"--[\w-]+", usage(name))), (name, options)


@cache
def usage(module):
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout


def check_requirements(requirements):
    for requirement in map(Requirement, requirements):
        found = metadata.metadata(requirement.name)
        assert requirement.extras <= set(found.get_all("Provides-Extra") or ()), requirement


def check_variable(name, value, monkeypatch):
    if name.startswith("AIRFLOW_CONN_"):
        # The reader replaces placeholders such as YOUR_API_KEY.
        monkeypatch.setenv(name, re.sub(r"<[^<>]+>|YOUR_\w+", "replaced", value))
        with OnlineTasksHook(name.removeprefix("AIRFLOW_CONN_").lower()) as hook:
            assert hook.settings.api_key
    elif name.startswith("AIRFLOW__"):
        _, section, option = name.lower().split("__")
        assert conf.has_option(section, option), name
    else:
        assert name == "AIRFLOW_HOME", name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_and_headings_resolve(page):
    links = re.findall(
        r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8")
    )
    for target, anchor in links:
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in headings(linked), f"{target}#{anchor}"


def headings(page):
    """Return the anchors of a page's headings, as mkdocs and GitHub name them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in found}

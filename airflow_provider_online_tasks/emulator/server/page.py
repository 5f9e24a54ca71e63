"""The page at ``/``: tasks and runs."""

from __future__ import annotations

import base64
import binascii
import hmac
import html
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from airflow_provider_online_tasks.emulator.clock import write_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from airflow_provider_online_tasks.emulator.runs.models import Run
    from airflow_provider_online_tasks.emulator.settings import EmulatorSettings
    from airflow_provider_online_tasks.emulator.state import EmulatorState
    from airflow_provider_online_tasks.emulator.tasks.models import Task

_SHOWN_RUNS = 100
_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def routes(state: EmulatorState) -> list[Route]:
    """Return the routes of the page; links to pages of Arize's UI lead to it too."""

    async def show(request: Request) -> Response:
        key = state.settings.api_key
        if not state.settings.is_loopback and not _has_key(request, key):
            return Response(
                "Other machines can reach this emulator, so its page needs the key as the password.",
                401,
                {"WWW-Authenticate": 'Basic realm="Online tasks emulator", charset="UTF-8"'},
            )
        return HTMLResponse(render(state))

    return [Route("/", show), Route("/organizations/{page:path}", show)]


def _has_key(request: Request, key: str) -> bool:
    """Whether the password of the request is the key, for any user name."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    try:
        _, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(password.encode(), key.encode())


def render(state: EmulatorState) -> str:
    """Return the page."""
    runs = state.runs.all()
    names = {task.id: task.name for task in state.tasks.all()}
    count, first, last = state.spans.range()
    return _PAGE.substitute(
        spans=count,
        first=html.escape((write_time(first) or "")[:10]),
        last=html.escape((write_time(last) or "")[:10]),
        judge=html.escape(judge_note(state.settings)),
        tasks=_table(("Task", "Filter", "Sampling", "Evaluators", "ID"), map(_task_row, state.tasks.all())),
        runs=_table(
            ("Run", "Task", "Status", "Evaluated", "Errors", "Skipped", "Reason"),
            (_run_row(run, names.get(run.task_id, "")) for run in reversed(runs[-_SHOWN_RUNS:])),
        ),
    )


def judge_note(settings: EmulatorSettings) -> str:
    """Return where the labels come from."""
    if settings.judge_url is None:
        return "Labels come from a built-in judge: deterministic rules, offline, no language model."
    return f"Labels come from the LLM judge {settings.judge_model} at {settings.judge_url}."


def _cell(content: object, kind: str = "") -> str:
    """Return a table cell: a number, a code, or a text."""
    text = html.escape(str(content))
    if isinstance(content, int):
        return f'<td class="n">{text}</td>'
    return f"<td><code>{text}</code></td>" if kind == "code" else f'<td class="{kind}">{text}</td>'


def _table(heads: Iterable[str], rows: Iterable[str]) -> str:
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    if not body:
        return "<p>None yet.</p>"
    return f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>{body}</table>"


def _task_row(task: Task) -> str:
    return (
        _cell(f"{task.name} (deleted)" if task.deleted else task.name)
        + _cell(task.span_filter or "", "code")
        + _cell(f"{task.sampling_rate:.3g}")
        + _cell(", ".join(each.name for each in task.evaluators))
        + _cell(task.id, "code")
    )


def _run_row(run: Run, task_name: str) -> str:
    return (
        _cell(run.id, "code")
        + _cell(task_name)
        + _cell(run.status, html.escape(run.status))
        + "".join(map(_cell, (run.num_successes, run.num_errors, run.num_skipped)))
        + _cell(run.failure_reason or run.note or "")
    )

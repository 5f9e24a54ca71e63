"""The package's layers: imports point down, form no cycle, and leave private modules alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_online_tasks"

# From bottom to top. A module may import modules of the same layer and of the layers below. The longest entry
# that a module's name starts with counts; "" is the front door, __init__.py.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("exceptions", "_airflow", "_clock", "_defaults", "_text", "_times"),
    ("inputs",),
    ("gate",),
    ("api",),
    ("ui.links", "results.counts", "results.human_labels", "results.summary", "results.history", "costs"),
    ("hooks",),
    ("idempotency",),

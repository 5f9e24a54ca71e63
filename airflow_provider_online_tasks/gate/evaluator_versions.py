"""Which evaluator versions made the evaluations, and whether they changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_online_tasks._text import on_one_line

Version = frozenset[tuple[str, str]]
UNNAMED: Version = frozenset()

_KEY = re.compile(
    r"(evaluator|judge|template|prompt|model|version)(_?(id|name|hash|version))*", re.IGNORECASE
)


def version_of(metadata: Mapping[str, Any]) -> Version:
    """Return what an evaluation's metadata says about its evaluator: ID, version, template, model.

    Arize doesn't document the keys, so every text or number under a key made of such words is used.
    """
    return frozenset(
        (key, on_one_line(str(value)))
        for key, value in metadata.items()
        if isinstance(value, str | int) and _KEY.fullmatch(key)
    )


def versions_text(versions: Iterable[Version]) -> str | None:
    """Return the versions on one line; None if no evaluation names its version."""
    texts = sorted(", ".join(f"{key}: {value}" for key, value in sorted(version)) for version in versions)
    return on_one_line(" or ".join(filter(None, texts))) or None


def changed_in_metadata(before: frozenset[Version], now: frozenset[Version]) -> str | None:
    """Describe how the versions differ; None if they are equal or one side names none."""
    if before == now or before <= {UNNAMED} or now <= {UNNAMED}:
        return None
    texts = [
        f"{versions_text(versions)}{' or an unnamed version' if UNNAMED in versions else ''}"
        for versions in (before, now)
    ]
    return f"the evaluator version changed from {texts[0]} to {texts[1]}"


def changed_in_hub(summary: Mapping[str, Any], evaluator: str) -> str | None:
    """Describe the newest version that the Eval Hub got since the baseline began; None without one.

    An evaluator of the hub whose name is not a column of the results may be any of them.
    """
    listed = (summary.get("baseline") or {}).get("new_evaluator_versions") or ()
    others = set(summary["evaluators"]) - {evaluator}
    new = [version for version in listed if version["evaluator"] not in others]
    if not new:
        return None
    return on_one_line(
        f"the evaluator version changed: version {new[-1]['version_id']} of "
        f"{new[-1]['evaluator'] or 'the evaluator'} was created at {new[-1]['created_at']}"
    )

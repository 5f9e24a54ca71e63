"""Who judged, and whether another judge did than before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from airflow_provider_online_tasks._text import on_one_line

Judge = frozenset[tuple[str, str]]

_JUDGE_KEY = re.compile(
    r"(evaluator|judge|template|prompt|model|version)(_?(id|name|hash|version))*", re.IGNORECASE
)


def judge_of(metadata: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what an evaluation's metadata says of the judge: its evaluator, version, template, model.

    The keys are not documented, so every text or number whose key is made of such words counts.
    """
    if not any(map(_is_judge_key, metadata)):
        return ()
    return tuple(
        sorted(
            (key, on_one_line(str(value)))
            for key, value in metadata.items()
            if _is_judge_key(key) and isinstance(value, str | int)
        )
    )


def judges_text(judges: Iterable[Iterable[tuple[str, str]]]) -> str | None:
    """Return who judged on one line; None if the evaluations do not say."""
    named = sorted(", ".join(f"{key}: {value}" for key, value in judge) for judge in judges)
    return on_one_line(" or ".join(filter(None, named))) or None


@lru_cache(maxsize=1_000)
def _is_judge_key(key: str) -> bool:
    return _JUDGE_KEY.fullmatch(key) is not None


def newer_version(summary: Mapping[str, Any], evaluator: str) -> str | None:
    """Return how the judge has changed since the baseline began, by its versions in the Eval Hub.

    A version of an evaluator whose name is no column of the results may be that of any of them.
    """
    listed = (summary.get("baseline") or {}).get("new_evaluator_versions") or ()
    columns = set(summary["evaluators"]) - {evaluator}
    ours = [one for one in listed if one["evaluator"] not in columns]
    if not ours:
        return None
    last = ours[-1]
    return on_one_line(
        f"the evaluator version changed: version {last['version_id']} of "
        f"{last['evaluator'] or 'the evaluator'} was created at {last['created_at']}"
    )


def judge_change(before: frozenset[Judge], now: frozenset[Judge]) -> str | None:
    """Return how the judge differs, as far as the evaluations name theirs."""
    nobody: frozenset[Judge] = frozenset({frozenset()})
    if before == now or before <= nobody or now <= nobody:
        return None
    names = [
        (judges_text(map(sorted, judges)) or "")
        + (" or one that is not named" if frozenset() in judges else "")
        for judges in (before, now)
    ]
    return f"the evaluator version changed from {names[0]} to {names[1]}"

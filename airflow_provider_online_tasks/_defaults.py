"""Defaults that several modules share, without the imports of the hook."""

from __future__ import annotations

DEFAULT_CONN_ID = "arize_online_tasks_default"
# Segments of a summary; further ones are counted together.
MAX_SEGMENTS = 20
# The attribute with the session of a span.
SESSION_ID = "session.id"
# Seconds between two polls of a run.
DEFAULT_POLL_INTERVAL = 10.0
# Seconds between two polls of an annotation queue.
DEFAULT_QUEUE_POLL_INTERVAL = 300.0
# Spans that Arize evaluates in a run without ``max_spans``.
DEFAULT_MAX_SPANS = 10_000

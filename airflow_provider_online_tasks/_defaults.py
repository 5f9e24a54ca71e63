"""Values that several modules share; here, so that parsing a DAG need not load the hook for them."""

from __future__ import annotations

DEFAULT_CONN_ID = "arize_online_tasks_default"
# How many segments a summary has; the others are counted as one.
MAX_SEGMENTS = 20
# Seconds between two looks at a run.
DEFAULT_POLL_INTERVAL = 10.0

"""``python -m airflow_provider_online_tasks.doctor``."""

from __future__ import annotations

import sys

from airflow_provider_online_tasks.doctor import main

sys.exit(main())

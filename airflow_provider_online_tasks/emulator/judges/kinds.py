"""All evaluator kinds."""

from __future__ import annotations

from typing import Final

from airflow_provider_online_tasks.emulator.judges import code_kind, template_kind

KINDS: Final = {each.name: each for each in (template_kind.KIND, code_kind.KIND)}

"""Hooks on any host."""

from __future__ import annotations

from tests.support.hook_fixtures import emulator, hook, hook_on, no_proxy_or_netrc, pauses, task_id

__all__ = ["emulator", "hook", "hook_on", "no_proxy_or_netrc", "pauses", "task_id"]

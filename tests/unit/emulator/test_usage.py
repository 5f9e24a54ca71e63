"""The usage of the LLM judge: calls and tokens, those that the LLM's endpoint reports or an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_online_tasks.emulator import Emulator
    from tests.support.emulator_api import Api


@pytest.mark.online_tasks_emulator(run_seconds=0)
def test_usage_of_offline_judge_is_counted_until_reset(api: Api, emulator: Emulator) -> None:
    assert emulator.usage()["calls"] == 0
    run_id = api.run(api.create(), maxSpans=3)
    assert api.counts(run_id) == (3, 0, 0)
    used = emulator.usage()
    assert used["calls"] == 3
    (first, *_) = api.rest("POST", "spans?limit=1", json={"project_id": emulator.project_id}).json()["spans"]
    assert used["input_tokens"] > 3 * len("\n\nIs the answer good?") // 4, first
    assert used["output_tokens"] > 0
    emulator.reset()
    assert emulator.usage() == {}


@pytest.mark.online_tasks_emulator(run_seconds=0)
def test_code_evaluator_uses_no_tokens(api: Api, emulator: Emulator) -> None:
    evaluator_id = emulator.evaluator_ids["output_present"]
    evaluators = [{"evaluatorId": evaluator_id, "position": 0}]
    run_id = api.run(api.create(templateEvaluators=None, llmConfig=None, evaluators=evaluators), maxSpans=3)
    assert api.counts(run_id) == (3, 0, 0)
    assert emulator.usage() == {}

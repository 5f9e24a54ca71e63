"""Tests for the prices of models: the user's own, or those of genai-prices if it is installed."""

from __future__ import annotations

import sys
from decimal import Decimal
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from airflow_provider_online_tasks.costs.model_prices import price_of
from airflow_provider_online_tasks.inputs.prices import Price, read_prices

PRICES = read_prices({"GPT-4o ": {"input": 2.5, "output": 10}, "local": {"input": 0, "output": 0}})


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library with the interface of genai-prices."""

    def calc_price(usage: Any, *, model_ref: str) -> Any:
        if model_ref != "gpt-4o":
            raise LookupError(model_ref)
        return SimpleNamespace(
            input_price=Decimal(usage.input_tokens) * 3 / 1_000_000,
            output_price=Decimal(usage.output_tokens) * 12 / 1_000_000,
        )

    module = ModuleType("genai_prices")
    vars(module).update(calc_price=calc_price, Usage=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "genai_prices", module)


def test_names_of_models_differ_in_case_only() -> None:
    assert price_of("gpt-4O", PRICES) == Price(2.5, 10)
    assert price_of("local", PRICES) == Price(0, 0)


@pytest.mark.usefixtures("library")
def test_library_is_used_only_without_own_prices() -> None:
    assert price_of("gpt-4o", None) == pytest.approx(Price(3, 12))
    assert price_of("unknown", None) is None
    assert price_of("gpt-4o", {}) is None


def test_model_without_library_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert price_of("gpt-4o", None) is None
    assert price_of(None, PRICES) is None

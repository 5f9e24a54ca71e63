"""The price of a model: the user's own, or that of the library genai-prices if it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from airflow_provider_online_tasks.inputs.prices import Price

_TOKENS = 1_000
"""A prompt of this size has the usual price: some models cost more for very long ones."""


def price_of(model: str | None, prices: Mapping[str, Price] | None) -> Price | None:
    """Return the price of a million tokens of a model; None if it is unknown.

    :param prices: the user's prices. Without them, the library's, which are in US dollars.
    """
    if model is None:
        return None
    if prices is not None:
        return prices.get(model.strip().lower())
    return _library_price(model)


def _library_price(model: str) -> Price | None:
    try:
        library: Any = import_module("genai_prices")
    except ImportError:
        return None
    try:
        found = library.calc_price(
            library.Usage(input_tokens=_TOKENS, output_tokens=_TOKENS), model_ref=model
        )
    except (LookupError, ValueError):
        return None
    millions = 1_000_000 / _TOKENS
    return Price(input=float(found.input_price) * millions, output=float(found.output_price) * millions)

"""Prices of models, per million tokens. They have no currency: all must be in the same one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from airflow_provider_online_tasks._text import shown
from airflow_provider_online_tasks.exceptions import InvalidInput
from airflow_provider_online_tasks.inputs.arguments import finite, rendered_number

_EXAMPLE = '{"gpt-4o": {"input": 2.5, "output": 10}}'


class Price(NamedTuple):
    """The price of a million tokens of a model."""

    input: float
    output: float


def read_prices(value: Any, name: str = "prices") -> dict[str, Price]:
    """Return the prices by model.

    :param value: model to ``{"input": …, "output": …}`` per million tokens, or JSON text with it.
    :param name: the argument, for messages.
    :raises InvalidInput: it is something else, or a price is not a number of at least 0.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidInput(f"{name} is not JSON, such as {_EXAMPLE}: {shown(value)}.") from None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{name} must be a dict such as {_EXAMPLE}, not {shown(value)}.")
    prices: dict[str, Price] = {}
    for model, fields in value.items():
        if not isinstance(model, str) or not model.strip():
            raise InvalidInput(f"{name} must have names of models as keys, not {shown(model)}.")
        if model.strip().lower() in prices:
            raise InvalidInput(f"{name} has {shown(model)} twice. Remove one.")
        prices[model.strip().lower()] = _read_price(fields, f"{name}[{shown(model)}]")
    return prices


def _read_price(fields: Any, where: str) -> Price:
    if not isinstance(fields, Mapping) or set(fields) != {"input", "output"}:
        raise InvalidInput(
            f"{where} must have exactly input and output, the prices of a million tokens in your currency, "
            f"such as {{'input': 2.5, 'output': 10}}, not {shown(fields)}."
        )
    amounts = {field: _read_number(fields[field]) for field in Price._fields}
    for field, amount in amounts.items():
        if amount is None or amount < 0:
            raise InvalidInput(
                f"{where}[{field!r}] must be a number of at least 0, without a currency sign, not "
                f"{shown(fields[field])}."
            )
    return Price(**{field: float(amount or 0) for field, amount in amounts.items()})


def _read_number(value: Any) -> float | None:
    """Return a number, also if a template was rendered to it; None if it is something else."""
    return finite(rendered_number(value) if isinstance(value, str) else value)


def read_amount(value: Any, name: str) -> float:
    """Return a positive amount of money, in the currency of the prices.

    :raises InvalidInput: it is something else.
    """
    amount = _read_number(value)
    if amount is None or amount <= 0:
        raise InvalidInput(
            f"{name} must be a positive number in the currency of prices, without a sign, not {shown(value)}."
        )
    return amount

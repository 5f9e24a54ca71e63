"""Estimate what a run will evaluate, and what that costs, before it starts."""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_provider_online_tasks._defaults import DEFAULT_MAX_SPANS, SESSION_ID
from airflow_provider_online_tasks._text import shown_name
from airflow_provider_online_tasks._times import wire_time
from airflow_provider_online_tasks.api import calls
from airflow_provider_online_tasks.api.responses import (
    ATTRIBUTES,
    GRANULARITIES,
    SPAN,
    AttachedEvaluator,
    Evaluator,
    RunStatus,
    Span,
    Task,
    TaskRun,
)
from airflow_provider_online_tasks.costs import tokens
from airflow_provider_online_tasks.costs.counting import Counted, Requests, count_spans
from airflow_provider_online_tasks.costs.model_prices import price_of
from airflow_provider_online_tasks.costs.ranges import NONE, Range, mean_range, share_range, total
from airflow_provider_online_tasks.exceptions import BadRequest, InvalidInput, ResponseTooLarge
from airflow_provider_online_tasks.inputs.arguments import rendered_number

if TYPE_CHECKING:
    from airflow_provider_online_tasks.api.client import Client
    from airflow_provider_online_tasks.inputs.prices import Price
    from airflow_provider_online_tasks.inputs.runs import RunInput

MAX_REQUESTS = 21
MAX_CHARACTERS = 100_000
"""Of a value in the prompt of a trace or a session; Arize cuts longer ones."""
UNKNOWN = "(unknown)"
SAMPLE = 200
_TEXTS_OF_REQUEST = 100
_UNITS_OF_SAMPLE = 20
_UNITS_OF_REQUEST = 5
_REQUESTS_OF_TEXTS = 2
_REQUESTS_OF_UNITS = 6
_CHARACTERS_OF_SECOND_TRY = 4_000
_UNIT_FILTERS = {"span": "context.span_id", "trace": "context.trace_id", "session": ATTRIBUTES + SESSION_ID}
_PER_MILLION = 1e-6


@dataclass(frozen=True, kw_only=True)
class EvaluatorEstimate:
    """What one evaluator of a run will do.

    :param name: the column with its evaluations.
    :param version_id: its version; None if it is defined in the task.
    :param granularity: what it evaluates: ``span``, ``trace`` or ``session``.
    :param model: its LLM judge.
    :param evaluations: how many times it evaluates.
    :param input_tokens: tokens of its prompts; None if Arize doesn't return its template.
    :param output_tokens: tokens of the responses to them.
    :param cost: what they cost; None if it is unknown.
    """

    name: str
    version_id: str | None = None
    granularity: str = SPAN
    model: str | None = None
    evaluations: Range
    input_tokens: Range | None = None
    output_tokens: Range | None = None
    cost: Range | None = None

    def __str__(self) -> str:
        return _in_words(self)


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """What a run will evaluate, and what that costs. Each range should contain the real number.

    :param online_task_id: the task.
    :param data_start_time: start of the window.
    :param data_end_time: end of the window.
    :param max_spans: maximum number of spans of the run.
    :param sampling_rate: share of the matching spans that the task evaluates; None if it wasn't read.
    :param matching_spans: spans of the window that match the task's filter; None if they weren't counted.
    :param is_exact: whether all of them were counted; else they are extrapolated.
    :param labelled_spans: matching spans that have all labels, which aren't evaluated again.
    :param evaluations: what the run evaluates, in Arize's own count of a run (successes and errors).
    :param evaluators: the task's evaluators.
    :param input_tokens: tokens of all prompts; None if they are unknown for an evaluator.
    :param output_tokens: tokens of all responses.
    :param cost: what they cost, in the currency of the prices.
    :param assumptions: what the estimate assumes, in sentences.
    """

    online_task_id: str
    data_start_time: datetime
    data_end_time: datetime
    max_spans: int
    sampling_rate: float | None = None
    matching_spans: Range | None = None
    is_exact: bool = False
    labelled_spans: Range | None = None
    evaluations: Range
    evaluators: tuple[EvaluatorEstimate, ...] = ()
    input_tokens: Range | None = None
    output_tokens: Range | None = None
    cost: Range | None = None
    assumptions: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return the estimate as plain JSON values, for XCom."""
        return {name: _to_json(value) for name, value in vars(self).items()}

    def __str__(self) -> str:
        count = "counted" if self.is_exact else "extrapolated"
        spans = "" if self.matching_spans is None else f" ({self.matching_spans} matching spans, {count})"
        return _in_words(self) + spans

    def max_spans_within(self, *, max_evaluations: int | None = None, max_cost: float | None = None) -> int:
        """Return the largest ``max_spans`` with which the high end of the estimate keeps both limits.

        :param max_evaluations: maximum number of evaluations. Default: no limit.
        :param max_cost: maximum cost, in the currency of the prices. Default: no limit.
        :return: 0 if no span can be evaluated within the limits.
        :raises InvalidInput: ``max_cost`` is set, and the cost is unknown.
        """
        if max_cost is not None and self.cost is None:
            raise InvalidInput(f"max_cost needs a known cost. {self._advice_on_cost}")
        allowed, high = self.max_spans, self.evaluations.high
        if max_evaluations is not None and high > max_evaluations:
            allowed = math.floor(min(allowed, high) * max_evaluations / high + 1e-9)
        if max_cost is not None and self.cost is not None and self.cost.high > max_cost:
            if len({each.granularity for each in self.evaluators}) > 1:
                return 0  # how many spans a trace or a session has isn't known
            numbers = range(allowed + 1)
            allowed = bisect_right(numbers, max_cost * (1 + 1e-9), key=self._highest_cost) - 1
        return allowed

    def max_spans_worth(self, max_cost: float) -> int:
        """Return the ``max_spans`` that keeps the limit even if more spans match than estimated.

        The same as :meth:`max_spans_within` if all matching spans were counted, or if the evaluators have
        several granularities.
        """
        allowed, taken = self.max_spans_within(max_cost=max_cost), self.evaluations.high
        levels = {each.granularity for each in self.evaluators}
        if self.is_exact or len(levels) > 1 or not self.cost or not self.cost.high:
            return allowed
        if levels == {SPAN}:
            # A run also takes spans that it doesn't evaluate: with a label, or without values.
            selected = (self.matching_spans or NONE).high * (self.sampling_rate or 1)
            taken = max(taken, min(self.max_spans, selected))
        return min(allowed, max(math.ceil(taken), int(max_cost / self.cost.high * taken)))

    @property
    def _advice_on_cost(self) -> str:
        """How to make an unknown cost known."""
        if not self.evaluators:
            return "Leave out from_earlier_runs, which estimates no cost."
        for each in self.evaluators:
            if each.input_tokens is None and each.model is None:
                name = shown_name(each.name)
                return f"Arize doesn't return the template of {name}. Use an evaluator of the Eval Hub."
            if each.input_tokens is None:
                return f"{_unread_texts(each.name)} Use max_evaluations instead."
        return "Set prices for the models of all evaluators."

    def _highest_cost(self, max_spans: int) -> float:
        """Return the high end of the cost with another ``max_spans``."""
        costs = [(each.cost.high, each.evaluations.high) for each in self.evaluators if each.cost]
        return sum(cost * min(1, max_spans / evaluations) for cost, evaluations in costs if evaluations)


def _unread_texts(name: str) -> str:
    return f"The texts for evaluator {shown_name(name)} could not be read."


def _in_words(estimate: RunEstimate | EvaluatorEstimate) -> str:
    """Return the figures of an estimate on one line."""
    parts = [f"{estimate.evaluations} evaluations"]
    if estimate.input_tokens is not None and estimate.output_tokens is not None:
        parts.append(f"{estimate.input_tokens} input tokens, {estimate.output_tokens} output tokens")
    parts.append("cost unknown" if estimate.cost is None else f"cost {estimate.cost}")
    return ", ".join(parts)


def _to_json(value: Any) -> Any:
    match value:
        case Range():
            return {"low": value.low, "high": value.high}
        case datetime():
            return wire_time(value)
        case EvaluatorEstimate():
            return {name: _to_json(each) for name, each in vars(value).items()}
        case tuple():
            return [_to_json(each) for each in value]
        case _:
            return value


def estimate_run(
    client: Client,
    run: RunInput,
    *,
    prices: Mapping[str, Price] | None = None,
    from_earlier_runs: bool = False,
) -> RunEstimate:
    """Estimate a run with at most 21 requests (for up to 17 evaluators), without starting it.

    :param run: the run as it would be started.
    :param prices: prices by model. Default: those of ``genai-prices``, if it is installed.
    :param from_earlier_runs: whether to send one request only, and to estimate from the task's earlier runs:
        evaluations per hour of window.
    """
    if from_earlier_runs:
        return _estimate_from_runs(client, run)
    requests = Requests(client, MAX_REQUESTS)
    task = requests.send(calls.get_task(run.online_task_id))
    if task.project_id is None:
        raise InvalidInput(
            f"Task {task.id} does not evaluate the spans of a project, so its runs have no window."
        )
    read = cache(partial(_read_version, requests))
    evaluators = [
        _Attached(each, each.evaluator_id and read(each.evaluator_id, each.evaluator_version_id))
        for each in task.evaluators
    ]
    return _Estimator(requests, run, task, evaluators, prices).estimate()


@dataclass(frozen=True)
class _Attached:
    """An evaluator of a task with its version; without one, it is defined in the task."""

    of_task: AttachedEvaluator
    version: Evaluator | None

    @property
    def name(self) -> str | None:
        return (self.version and self.version.column) or self.of_task.evaluator_name

    @property
    def level(self) -> str:
        return self.version.granularity if self.version else "span"

    @property
    def labels(self) -> list[str]:
        return [str(label) for label in (self.version and self.version.choices) or ()]

    @property
    def paths(self) -> list[str]:
        """The attribute of each variable of the template."""
        columns = self.of_task.column_mappings or {}
        queries = {
            each.get("variable_name"): str(each.get("attribute_path"))
            for each in self.of_task.query_mappings or ()
        }
        paths: list[str] = []
        for name in self.version.placeholders if self.version else ():
            conversation = [f"{ATTRIBUTES}input.value", f"{ATTRIBUTES}output.value"]
            path = columns.get(name) or queries.get(name)
            paths += [path] if path else conversation if name == "conversation" else [name]
        return paths


def _read_version(requests: Requests, evaluator_id: str, version_id: str | None) -> Evaluator:
    found: Evaluator = requests.send(calls.get_evaluator(evaluator_id, version_id=version_id))
    return found


@dataclass
class _Estimator:
    requests: Requests
    run: RunInput
    task: Task
    evaluators: Sequence[_Attached]
    prices: Mapping[str, Price] | None
    assumptions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.max_spans = self.run.max_spans or DEFAULT_MAX_SPANS
        self.sampling_rate = 1.0 if self.task.sampling_rate is None else self.task.sampling_rate
        self.levels = [
            level for level in GRANULARITIES if any(each.level == level for each in self.evaluators)
        ]
        self.query_filter = self.task.span_filter
        self.list_spans = partial(
            calls.list_spans, self.task.project_id or "", query_filter=self.query_filter
        )
        # The same run has the same estimate, so that a retry decides as the first try.
        self.draw = random.Random(f"{self.run.online_task_id} {self.run.window}")  # noqa: S311

    def estimate(self) -> RunEstimate:
        """Return the estimate of the run."""
        counted = self._count()
        estimates: list[EvaluatorEstimate] = []
        items: list[Range] = []
        for level in self.levels:
            of_level = [each for each in self.evaluators if each.level == level]
            of_evaluators = self._estimates(counted, level)
            estimates += of_evaluators
            items.append(_narrowed(self._todo(counted, level, of_level), of_evaluators))
        matching = counted.count(len)
        labelled = counted.count(partial(self._count_labelled, "span", self.evaluators))
        return RunEstimate(
            online_task_id=self.task.id,
            data_start_time=self.run.window.start,
            data_end_time=self.run.window.end,
            max_spans=self.max_spans,
            sampling_rate=self.sampling_rate,
            matching_spans=matching.rounded(),
            is_exact=counted.is_exact,
            labelled_spans=labelled.rounded(),
            evaluations=(total(items) or NONE).rounded(),
            evaluators=tuple(estimates),
            input_tokens=total(each.input_tokens for each in estimates),
            output_tokens=total(each.output_tokens for each in estimates),
            cost=total(each.cost for each in estimates),
            assumptions=tuple(dict.fromkeys([*self._general_assumptions(counted), *self.assumptions])),
        )

    def _count(self) -> Counted:
        """Count the matching spans, with the labels that they have, and keep requests for the texts."""
        prefixed = [(calls.EVAL_PREFIXES[each.level], each.name) for each in self.evaluators]
        columns = [f"{prefix}.{name}.label" for prefix, name in prefixed if name]
        if self.run.override_evaluations:
            columns = []
        if "session" in self.levels:
            columns.append(_UNIT_FILTERS["session"])
        list_page = partial(
            self.list_spans,
            columns=columns or calls.ID_ONLY,
            text_length=calls.SESSION_CHARACTERS if "session" in self.levels else 1,
        )
        levels = {each.level for each in self.evaluators if each.version and each.version.template}
        for_texts = sum(_REQUESTS_OF_TEXTS if level == SPAN else _REQUESTS_OF_UNITS for level in levels)
        for_texts = min(for_texts, max(1, self.requests.left - 2))
        self.requests.left = max(2, self.requests.left - for_texts)
        counted = count_spans(self.requests, list_page, self.run.window, draw=self.draw)
        self.requests.left += for_texts
        return counted

    @property
    def _has_prompts(self) -> bool:
        return any(each.version and each.version.template for each in self.evaluators)

    def _units(self, level: str, spans: Iterable[Span]) -> dict[str, list[Span]]:
        """Return the spans of each span, trace or session; a span without a session belongs to none."""
        units: dict[str, list[Span]] = {}
        for span in spans:
            key = {"span": span.span_id, "trace": span.trace_id}.get(level) or span.attribute(SESSION_ID)
            if key is not None:
                units.setdefault(str(key), []).append(span)
        return units

    def _count_units(self, counted: Counted, level: str) -> Range:
        return counted.count(lambda spans: len(self._units(level, spans)))

    def _lacking(
        self, level: str, evaluators: Sequence[_Attached], spans: Iterable[Span]
    ) -> dict[str, list[Span]]:
        """Return the units of a level that lack an evaluation by one of the evaluators."""
        units = self._units(level, spans)
        if self.run.override_evaluations:
            return units
        names = {each.name for each in evaluators}
        return {
            key: of_unit
            for key, of_unit in units.items()
            if names - {evaluation.name for span in of_unit for evaluation in span.evaluations}
        }

    def _count_lacking(self, level: str, evaluators: Sequence[_Attached], spans: Iterable[Span]) -> int:
        return len(self._lacking(level, evaluators, spans))

    def _count_labelled(self, level: str, evaluators: Sequence[_Attached], spans: Sequence[Span]) -> int:
        return len(self._units(level, spans)) - len(self._lacking(level, evaluators, spans))

    def _sampled(self, items: Range) -> Range:
        """Return how many of some items the task's sampling rate selects."""
        rate = self.sampling_rate
        noise = 3 * math.sqrt(items.high * rate * (1 - rate))
        return Range(max(0.0, items.low * rate - noise), min(items.high, items.high * rate + noise))

    def _todo(self, counted: Counted, level: str, evaluators: Sequence[_Attached]) -> Range:
        """Return how many items of a level the run evaluates: those that lack one of the evaluators."""
        items, highest = (self._count_units(counted, each) for each in (level, self.levels[-1]))
        lacking = counted.count(partial(self._count_lacking, level, evaluators))
        taken = self._sampled(items)
        # The limit counts at the highest level. Of the other levels, the same share is evaluated.
        if level == self.levels[-1]:
            taken = Range(*(min(self.max_spans, end) for end in taken))
        else:
            most = self._sampled(highest)
            taken = taken.times(*(min(1.0, self.max_spans / max(1.0, end)) for end in (most.high, most.low)))
        labelled = counted.count(partial(self._count_labelled, level, evaluators))
        low = max(0.0, taken.low - labelled.high)
        is_unknown = all(each.name is None or each.of_task.query_filter for each in evaluators)
        if is_unknown:
            low = 0.0
        return Range(low, min(taken.high, self._sampled(lacking).high))

    def _estimates(self, counted: Counted, level: str) -> list[EvaluatorEstimate]:
        """Return the estimates of a level's evaluators."""
        evaluators = [each for each in self.evaluators if each.level == level]
        prompted = [each for each in evaluators if each.version and each.version.template]
        units = self._sample(counted, level, prompted) if prompted else None
        return [
            self._estimate(each, self._todo(counted, level, [each]), counted, units) for each in evaluators
        ]

    def _estimate(
        self, attached: _Attached, todo: Range, counted: Counted, units: list[list[Span]] | None
    ) -> EvaluatorEstimate:
        """Return the estimate of an evaluator, from a sample of the units that it evaluates."""
        version, name = attached.version, attached.name or UNKNOWN
        found = EvaluatorEstimate(
            name=name,
            version_id=version.version_id if version else None,
            granularity=attached.level,
            evaluations=todo,
        )
        if version is not None and version.type == "CODE":
            return replace(
                found, input_tokens=NONE, output_tokens=NONE, cost=NONE, evaluations=todo.rounded()
            )
        if version is None or version.template is None:
            self.assumptions.append(
                f"Arize doesn't return the template of evaluator {shown_name(name)}, so its tokens and cost "
                f"are unknown, and it is assumed to evaluate spans. Use an evaluator of the Eval Hub to "
                f"estimate them."
            )
            return replace(found, evaluations=todo.rounded())
        found = replace(found, model=version.model)
        if todo.high == 0:
            return replace(found, input_tokens=NONE, output_tokens=NONE, cost=NONE)
        if not units:
            self.assumptions.append(_unread_texts(name))
            return replace(found, evaluations=todo.rounded())
        population = counted.count(partial(self._count_lacking, attached.level, [attached])).high
        measure = {"evaluated": todo.high, "population": min(population, self._newest(attached.level))}
        around = tokens.input_tokens_around(attached.labels)
        fixed = tokens.tokens_of(version.text_around_variables).plus(around)
        prompts = [_with_values(fixed, attached.paths, unit) for unit in units]
        lows, highs = zip(*(prompt or NONE for prompt in prompts), strict=True)
        with_values = sum(prompt is not None for prompt in prompts)
        share = share_range(with_values, len(prompts), **measure)
        evaluations = todo.times(*share)
        parameters = version.parameters or {}
        limits = (rendered_number(parameters.get(key)) for key in ("max_tokens", "max_completion_tokens"))
        response = tokens.output_tokens(
            attached.labels,
            explains=version.explains,
            model=version.model,
            max_tokens=next((limit for limit in limits if limit and limit > 0), None),
        )
        inputs = todo.times(mean_range(lows, **measure).low, mean_range(highs, **measure).high).rounded()
        outputs = evaluations.times(*response).rounded()
        price = price_of(version.model, self.prices)
        if price is None:
            self.assumptions.append(
                f"The price of model {shown_name(version.model or UNKNOWN)} is unknown. Set it in prices to "
                f"estimate the cost."
            )
        return replace(
            found,
            evaluations=evaluations.rounded(),
            input_tokens=inputs,
            output_tokens=outputs,
            cost=price
            and total([inputs.times(price.input * _PER_MILLION), outputs.times(price.output * _PER_MILLION)]),
        )

    def _newest(self, level: str) -> float:
        """Return how many of the newest spans the run takes at most; traces and sessions are not ordered."""
        is_limited = level == SPAN == self.levels[-1]
        return self.max_spans / max(1e-9, self.sampling_rate) if is_limited else math.inf

    def _sample(
        self, counted: Counted, level: str, evaluators: Sequence[_Attached]
    ) -> list[list[Span]] | None:
        """Return the spans of random items that the run evaluates, with the texts of their variables."""
        keys = {
            span.span_id: key
            for part in counted.read
            for key, spans in self._lacking(level, evaluators, part).items()
            for span in spans[:1]  # so that a long trace is as likely as a short one
        }
        size = SAMPLE if level == "span" else _UNITS_OF_SAMPLE
        drawn = counted.sample(size, lambda span: span.span_id in keys, self._newest(level), self.draw)
        chosen = [key for span in drawn if calls.is_quotable(key := keys[span.span_id])]
        paths = dict.fromkeys(
            path for each in evaluators for path in each.paths if path.startswith(ATTRIBUTES)
        )
        columns = [*paths, *([_UNIT_FILTERS["session"]] if level == "session" else calls.ID_ONLY)]
        spans = self._read_units(counted, level, list(dict.fromkeys(chosen)), columns)
        return list(self._units(level, spans).values())

    def _read_units(
        self, counted: Counted, level: str, keys: Sequence[str], columns: Sequence[str]
    ) -> list[Span]:
        """Return the spans of as many units as the requests that are left suffice for."""
        at_once = _TEXTS_OF_REQUEST if level == SPAN else _UNITS_OF_REQUEST
        spans: list[Span] = []
        read = 0
        length = 1.0
        if level != SPAN:  # too high if not all units were listed, so that the first batch isn't too large
            units = self._units(level, chain.from_iterable(counted.read))
            length = counted.count(len).high / max(1, len(units))
        while read < len(keys) and self.requests.left > 0:
            most = calls.SPANS_PAGE * math.ceil(self.requests.left / 2) / max(1, length)
            batch = keys[read : read + max(1, min(at_once, int(most)))]
            found, is_complete = self._read_texts(level, batch, columns)
            if not is_complete and len(batch) > 1 and self.requests.left > 0:
                at_once = 1
                continue
            spans += found
            if not is_complete:
                break
            read += len(batch)
            length = len(spans) / read
        if read < len(keys) and level != SPAN:
            self.assumptions.append(
                f"The requests of an estimate sufficed to read {read} complete {level}s, and {len(keys)} "
                f"were sampled. So the tokens may exceed the range."
            )
        return spans

    def _read_texts(self, level: str, keys: Sequence[str], columns: Sequence[str]) -> tuple[list[Span], bool]:
        """Read texts; if they are too large together, the beginnings of fewer texts.

        Several units use at most half of the requests that are left, so that one of them can be read then.

        :return: the spans, and whether all spans of these units were read.
        """
        for some, characters in ((keys, None), (keys[: len(keys) // 2 + 1], _CHARACTERS_OF_SECOND_TRY)):
            query_filter = calls.filter_by(_UNIT_FILTERS[level], some)
            if level != "span" and self.query_filter:
                query_filter = f"({self.query_filter}) AND {query_filter}"
            list_page = partial(
                self.list_spans,
                window=self.run.window,
                query_filter=query_filter,
                columns=columns,
                text_length=characters,
            )
            found: list[Span] = []
            cursor, is_complete = None, False
            reserved = self.requests.left // 2 if len(some) > 1 else 0
            try:
                while self.requests.left > reserved and not is_complete:
                    page = self.requests.send(list_page(cursor=cursor))
                    found += page.items
                    cursor, is_complete = page.next_cursor, page.next_cursor is None
            except ResponseTooLarge:
                continue
            except BadRequest:
                break  # it isn't documented whether an attribute that no span has is rejected
            if characters is not None and found:
                self.assumptions.append(
                    f"Texts are long: only their first {characters} characters were read, so the tokens "
                    f"may exceed the range."
                )
            return found, is_complete
        return [], True

    def _general_assumptions(self, counted: Counted) -> list[str]:
        """Return what every estimate assumes, and what this one does."""
        sentences = []
        if not counted.is_exact:
            read = sum(map(len, counted.read))
            sentences.append(
                f"{read} spans were read. The others are extrapolated from {len(counted.pages)} random times "
                f"of the window."
            )
        if self.sampling_rate < 1:
            sentences.append(
                f"The task evaluates {self.sampling_rate:.4g} of the matching spans, chosen at random."
            )
        if any(each.of_task.query_filter for each in self.evaluators):
            sentences.append("The filters of evaluators are not applied: all spans may match.")
        if not self.run.override_evaluations and any(each.name is None for each in self.evaluators):
            sentences.append("The column of an evaluator is unknown, and so are the labels that exist.")
        if self._has_prompts:
            sentences.append(
                "Tokens are estimated from the texts of sampled spans, without the model's tokenizer. "
                "Evaluations that fail and are sent again are not included."
            )
            if self.prices is None:
                sentences.append("Known prices are those of genai-prices, in US dollars.")
        return sentences


def _narrowed(items: Range, evaluators: Sequence[EvaluatorEstimate]) -> Range:
    """Return the items that at least one evaluator evaluates: Arize doesn't count skipped ones."""
    low = max((each.evaluations.low for each in evaluators), default=0.0)
    return Range(min(low, items.high), min(items.high, sum(each.evaluations.high for each in evaluators)))


def _with_values(fixed: Range, paths: Iterable[str], unit: Sequence[Span]) -> Range | None:
    """Return the tokens of a prompt; None if a variable has no value, so that nothing is evaluated."""
    prompt = fixed
    for path in paths:
        texts = [text for span in unit if (text := _text(span, path)) is not None]
        if not texts:
            return None
        prompt = prompt.plus(tokens.tokens_of("\n".join(texts)[:MAX_CHARACTERS]))
    return prompt


def _text(span: Span, path: str) -> str | None:
    """Return the text of a variable; None if the span does not have it."""
    value = span.attribute(path) if path.startswith(ATTRIBUTES) else span.name if path == "name" else None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _estimate_from_runs(client: Client, run: RunInput) -> RunEstimate:
    """Estimate a run from the evaluations per hour of window of the task's completed runs."""
    listed = client.send(calls.list_task_runs(run.online_task_id)).items
    rates = [rate for each in listed if (rate := _evaluations_per_hour(each)) is not None]
    if not rates:
        raise InvalidInput(
            f"No run of task {run.online_task_id} has completed yet. Leave out from_earlier_runs to count "
            f"the spans."
        )
    hours = (run.window.end - run.window.start) / timedelta(hours=1)
    max_spans = run.max_spans or DEFAULT_MAX_SPANS
    evaluations = Range(*(min(max_spans, rate * hours) for rate in (min(rates), max(rates))))
    return RunEstimate(
        online_task_id=run.online_task_id,
        data_start_time=run.window.start,
        data_end_time=run.window.end,
        max_spans=max_spans,
        evaluations=evaluations.rounded(),
        assumptions=(
            f"As many evaluations per hour of window as in {len(rates)} completed runs, of those that Arize "
            f"lists first. Tokens are unknown.",
        ),
    )


def _evaluations_per_hour(run: TaskRun) -> float | None:
    if run.status is not RunStatus.COMPLETED or run.data_start_time is None or run.data_end_time is None:
        return None
    hours = (run.data_end_time - run.data_start_time) / timedelta(hours=1)
    return run.counts.attempted / hours if run.counts.attempted and hours > 0 else None

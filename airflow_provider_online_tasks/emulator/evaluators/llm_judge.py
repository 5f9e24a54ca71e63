"""An LLM judge for template evaluators, behind an endpoint for OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from airflow_provider_online_tasks.emulator.evaluators import template
from airflow_provider_online_tasks.emulator.evaluators.kinds import Outcome
from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, EvaluationError, Evaluator

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_online_tasks.emulator.spans.values import Unit

_PATH = "/chat/completions"
_USAGE = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}


class LlmJudge:
    """Replaces the labels of the offline judge with those of a language model.

    :param url: the base URL of the API, such as ``http://127.0.0.1:8080/v1``.
    :param timeout: how long a response may take, in seconds.
    """

    def __init__(self, url: str, key: str | None, model: str, timeout: float = 30.0) -> None:
        self._url = url.rstrip("/").removesuffix(_PATH) + _PATH
        self._headers = {b"Authorization": f"Bearer {key}".encode()} if key else {}
        self._model = model
        self._timeout = timeout
        self.usage: Counter[str] = Counter()

    async def evaluate(
        self, evaluated: Iterable[tuple[Unit, Outcome]], queries: Mapping[str, Collection[str]]
    ) -> list[Outcome]:
        """Return the outcomes with the model's labels."""

        async def replaced(unit: Unit, outcome: Outcome) -> Outcome:
            evaluations = []
            for evaluator, evaluation in outcome.evaluations:
                if evaluator.kind == template.TemplateKind.name:
                    prompt = template.prompt(evaluator, unit, queries)
                    try:
                        evaluation = await self._ask(client, evaluator, prompt)  # noqa: PLW2901
                    except EvaluationError as error:
                        return Outcome([], failed=True, note=f"The LLM judge {self._model!r} {error}")
                evaluations.append((evaluator, evaluation))
            return outcome._replace(evaluations=evaluations)

        # Redirects are not followed: they would send the key to another host.
        async with httpx.AsyncClient(headers=self._headers, timeout=self._timeout) as client:
            return await asyncio.gather(*(replaced(*each) for each in evaluated))

    async def _ask(self, client: httpx.AsyncClient, evaluator: Evaluator, prompt: str) -> Evaluation:
        form = "Explain your decision in one or two sentences. Then write" if evaluator.explain else "Write"
        labels = ", ".join(json.dumps(rail, ensure_ascii=False) for rail in evaluator.rails)
        system = f"You evaluate an AI application. {form} a last line 'LABEL: <label>' with one of: {labels}"
        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        body = {"model": self._model, "temperature": 0, "messages": messages}
        try:
            async with asyncio.timeout(self._timeout):
                response = await client.post(self._url, json=body)
            if response.status_code != httpx.codes.OK:
                raise EvaluationError(f"returned HTTP {response.status_code}")
            document = response.json()
            text = str.strip(document["choices"][0]["message"]["content"])
            used = document.get("usage") or {}
            tokens = {name: int(used.get(field) or 0) for name, field in _USAGE.items()}
            self.usage.update(tokens, calls=1)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, LookupError, TypeError) as error:
            # Without the text of the response, which could contain the key.
            raise EvaluationError(f"sent no chat completion: {type(error).__name__}") from None
        *explanation, last = text.split("\n")
        label = last.strip(" *`").casefold().removeprefix("label:").strip(" \t\"'`*.")
        for rail in evaluator.rails:
            if rail.casefold() == label:
                score = (evaluator.choices or {}).get(rail)
                return Evaluation(rail, score, "\n".join(explanation).strip() or None)
        raise EvaluationError(f"chose none of the labels {labels}")

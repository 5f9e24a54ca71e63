"""An LLM judge behind an OpenAI-compatible chat completions endpoint."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, EvaluationError, Question

_PATH: Final = "/chat/completions"
_LONGEST_RESPONSE: Final = 1_000_000
_LONGEST_QUOTE: Final = 200
_PREFIX: Final = "label:"


class OpenAIJudge:
    """
    Asks a language model for the label.

    :param url: the base URL of the API, such as ``http://127.0.0.1:8080/v1``, or its chat completions URL.
    :param key: the bearer token; None for an endpoint without authentication.
    :param model: the name of the model.
    :param timeout: how many seconds to wait for the endpoint.
    """

    def __init__(self, url: str, key: str | None, model: str, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("The judge's URL must be an http or https URL such as http://127.0.0.1:8080/v1")
        base = url.rstrip("/")
        self._url = base if base.endswith(_PATH) else base + _PATH
        self._host = parts.hostname
        self._key = key
        self._model = model
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirects)

    def __repr__(self) -> str:
        """Return a description without the key."""
        return f"OpenAIJudge(host={self._host!r}, model={self._model!r})"

    def evaluate(self, question: Question) -> Evaluation:
        """Return the label of the model."""
        *explanation, answer = self._ask(question).strip().splitlines()
        label = answer.strip().strip("*`")
        if label.lower().startswith(_PREFIX):
            label = label[len(_PREFIX) :]
        label = label.strip(" \t\"'`*.")
        for rail in question.rails:
            if rail.casefold() == label.casefold():
                return question.evaluation(rail, "\n".join(explanation).strip() or None)
        raise self._error(f"answered with none of the labels {', '.join(question.rails)}", answer)

    def _ask(self, question: Question) -> str:
        names = ", ".join(json.dumps(rail, ensure_ascii=False) for rail in question.rails)
        explain = "Explain your decision in one or two sentences. Then write"
        system = (
            f"You evaluate the work of an AI application. {explain if question.explain else 'Answer with'} "
            f"one last line 'LABEL: <label>', where <label> is exactly one of: {names}."
        )
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question.prompt}]
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        body = json.dumps({"model": self._model, "temperature": 0, "messages": messages}).encode()
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310  the scheme was checked
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                content: bytes = response.read(_LONGEST_RESPONSE + 1)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(_LONGEST_QUOTE * 4).decode("utf-8", "replace")
            raise self._error(f"returned {error.code}", text) from None
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
            raise self._error("could not be reached", reason) from None
        try:
            answer = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            answer = None
        if len(content) > _LONGEST_RESPONSE or not isinstance(answer, str) or not answer.strip():
            raise self._error("returned no chat completion", content[:1000].decode("utf-8", "replace"))
        return answer

    def _error(self, what: str, text: str) -> EvaluationError:
        """Return an error that quotes a text, without the key and on one line."""
        text = " ".join((text.replace(self._key, "***") if self._key else text).split())
        text = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
        return EvaluationError(f"The judge {self._model!r} at {self._host} {what}: {text!r}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would send the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None

"""An LLM judge behind an OpenAI-compatible chat completions endpoint."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from airflow_provider_online_tasks.emulator.evaluators.models import Evaluation, EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATH: Final = "/chat/completions"
_LONGEST_ANSWER: Final = 1_000_000
_LONGEST_QUOTE: Final = 200
_LABEL_MARK: Final = "label:"


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
        # a redirect would send the key to another host
        self._opener = urllib.request.build_opener(_NoRedirects)

    def __repr__(self) -> str:
        """Return a description without the key."""
        return f"OpenAIJudge(host={self._host!r}, model={self._model!r})"

    def evaluate(
        self,
        *,
        template: str,  # the model gets the filled prompt
        prompt: str,
        rails: Sequence[str],
        choices: Mapping[str, float] | None,
        explain: bool,
        span: Mapping[str, Any],
    ) -> Evaluation:
        """Return the label of the model."""
        content = self._ask(prompt, rails, explain=explain)
        lines = content.strip().splitlines() or [""]
        label = self._match(lines[-1], rails)
        score = None if choices is None or choices.get(label) is None else float(choices[label])
        explanation = "\n".join(lines[:-1]).strip() or None
        return Evaluation(label, score, explanation if explain else None)

    def _ask(self, prompt: str, rails: Sequence[str], *, explain: bool) -> str:
        names = ", ".join(json.dumps(rail, ensure_ascii=False) for rail in rails)
        form = "Explain your decision in one or two sentences. Then write" if explain else "Answer with"
        system = (
            f"You evaluate the work of an AI application. {form} one last line 'LABEL: <label>', "
            f"where <label> is exactly one of: {names}."
        )
        body = {
            "model": self._model,
            "temperature": 0,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": prompt},
            ],
        }
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked in __init__
            self._url, data=json.dumps(body).encode(), headers=headers, method="POST"
        )
        return self._content(self._send(request))

    def _send(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                answer: bytes = response.read(_LONGEST_ANSWER + 1)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(_LONGEST_QUOTE * 4).decode("utf-8", "replace")
            raise self._error(f"returned {error.code}: {self._quote(text)}") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise self._error(
                f"could not be reached: {self._quote(str(reason) or type(error).__name__)}"
            ) from None
        if len(answer) > _LONGEST_ANSWER:
            raise self._error(f"returned more than {_LONGEST_ANSWER} bytes")
        return answer

    def _content(self, answer: bytes) -> str:
        try:
            content = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            text = answer.decode("utf-8", "replace")
            raise self._error(f"returned no chat completion: {self._quote(text)}") from None
        if not isinstance(content, str) or not content.strip():
            raise self._error("returned an empty answer")
        return content

    def _match(self, line: str, rails: Sequence[str]) -> str:
        answer = line.strip().strip("*`")
        if answer.lower().startswith(_LABEL_MARK):
            answer = answer[len(_LABEL_MARK) :]
        answer = answer.strip(" \t\"'`*.")
        for rail in rails:
            if rail.casefold() == answer.casefold():
                return rail
        names = ", ".join(map(repr, rails))
        raise self._error(f"answered {self._quote(line)}, which is not one of the labels {names}")

    def _error(self, what: str) -> EvaluationError:
        return EvaluationError(f"The judge {self._model!r} at {self._host} {what}")

    def _quote(self, text: str) -> str:
        if self._key:
            text = text.replace(self._key, "***")
        text = " ".join(text.split())
        return repr(text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None

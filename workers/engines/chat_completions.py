"""The `/chat/completions` that OpenAI's API, Ollama, llama-server, vLLM and most clouds have in common."""

import base64
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.engines.contract import EngineFailed
from workers.engines.answers import WrongAnswer, content_of

CONNECT_SECONDS = 3.0
MOST_ANSWER_TOKENS = 768
MOST_ANSWER_BYTES = 256 * 1024
_PNG = b"\x89PNG"
# What a server may not know or a model may refuse; it is left out where the refusal names it.
_OPTIONAL = ("response_format", "max_tokens", "temperature")


class RequestRefused(EngineFailed):
    """The endpoint will not have this one request: it is too long, perhaps."""


class EndpointDown(EngineFailed):
    """The endpoint serves nobody, or not us; not before `retry_after_seconds` where that is known."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the JSON Schema of the answer; `spelled`: the schema stands in the words, too."""

    instructions: str
    evidence: str
    pictures: Sequence[bytes]
    schema: dict[str, Any]
    spelled: bool = False


class ChatCompletions:
    """One endpoint. A connection a request: none is left over from a server that was started again."""

    def __init__(self, url: str, *, key: str | None, model: str) -> None:
        # As OpenAI's clients read it: a URL with a path is the whole base.
        self._base = url.rstrip("/") + ("" if urlsplit(url).path.strip("/") else "/v1")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._model = model
        self._left_out: frozenset[str] = frozenset()
        self._verify: ssl.SSLContext | bool = url.startswith("https:") and httpx.create_ssl_context()

    def check(self) -> None:
        """Whether the endpoint is there and takes the key. Raises `EndpointDown`."""
        try:
            with httpx.Client(verify=self._verify, headers=self._headers, timeout=CONNECT_SECONDS) as client:
                status = client.get(f"{self._base}/models").status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(error) from error
        if status in (401, 403) or (status >= 500 and status != httpx.codes.NOT_IMPLEMENTED):
            raise self._refusal(status, {})

    async def ask(self, question: Question) -> str:
        """The text that the model answers; the caller bounds the time.

        Raises `EndpointDown`, `RequestRefused`, `WrongAnswer`.
        """
        left_out = self._left_out
        while True:
            status, headers, text = await self._post(_body(self._model, question, left_out))
            if status == httpx.codes.OK:
                self._left_out = left_out
                return content_of(text)
            sent = [name for name in _OPTIONAL if name not in left_out]
            if status not in (400, 422) or not sent:
                raise self._refusal(status, headers)
            named = text.decode(errors="replace").replace("json_schema", "response_format")
            left_out |= {name for name in sent if name in named} or set(sent)

    async def _post(self, body: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        text = bytearray()
        timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
        try:
            async with (
                httpx.AsyncClient(verify=self._verify, headers=self._headers, timeout=timeout) as client,
                client.stream("POST", f"{self._base}/chat/completions", json=body) as response,
            ):
                async for block in response.aiter_bytes():
                    text += block
                    if len(text) > MOST_ANSWER_BYTES:
                        raise WrongAnswer("The language model's answer is too long.")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(error) from error
        return response.status_code, response.headers, bytes(text)

    def _refusal(self, status: int, headers: Any) -> EngineFailed:
        """No word of the endpoint's own: it may quote what it was asked."""
        if status in (400, 413, 422):
            return RequestRefused(f"The language model's endpoint refuses a request ({status}).")
        if status in (401, 403):
            return EndpointDown(f"The language model's endpoint refuses the key ({status}).")
        if status == 404:
            return EndpointDown(f"The language model's endpoint has no model {self._model!r} (404).")
        if status == 429:
            after = str(headers.get("Retry-After", ""))
            seconds = float(after) if after.isdecimal() else 0.0
            return EndpointDown("The language model's endpoint takes no more requests now (429).", seconds)
        return EndpointDown(f"The language model's endpoint failed ({status}).")


def _unreachable(error: Exception) -> EndpointDown:
    return EndpointDown(f"The language model's endpoint does not answer ({type(error).__name__}).")


def _body(model: str, question: Question, left_out: frozenset[str]) -> dict[str, Any]:
    spelled = question.spelled or "response_format" in left_out
    instructions = question.instructions
    if spelled:
        schema = json.dumps(question.schema, ensure_ascii=False)
        instructions += (
            f"\nAnswer with one JSON object that follows this JSON Schema, and nothing else:\n{schema}"
        )
    asked: list[dict[str, Any]] = [{"type": "text", "text": question.evidence}]
    asked += [{"type": "image_url", "image_url": {"url": _data_url(one)}} for one in question.pictures]
    optional: dict[str, Any] = {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": question.schema},
        },
        "max_tokens": MOST_ANSWER_TOKENS,
        "temperature": 0,
    }
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": instructions},
            # Servers without pictures know text alone as a string.
            {"role": "user", "content": asked if question.pictures else question.evidence},
        ],
        **{name: value for name, value in optional.items() if name not in left_out},
    }


def _data_url(picture: bytes) -> str:
    kind = "png" if picture.startswith(_PNG) else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"

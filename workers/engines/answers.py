"""Reads what a language model answered, and holds it to the schema that was asked for."""

import json
import re
from typing import Any

from jsonschema import Draft202012Validator

from app.engines.contract import EngineFailed

_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.S)


class WrongAnswer(EngineFailed):
    """The model answered, but not what was asked for."""

    code = "wrong_answer"


def content_of(body: bytes) -> str:
    """The text in a body of `/chat/completions`. Raises `WrongAnswer` for half of one, and for none."""
    try:
        choice = json.loads(body)["choices"][0]
        content, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise WrongAnswer("The language model's answer has no text.") from error
    if reason == "length":
        raise WrongAnswer("The language model's answer breaks off.")
    if not isinstance(content, str) or not content.strip():
        raise WrongAnswer("The language model's answer has no text.")
    return content


def parse_answer(content: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON object in `content`, which models like to wrap into prose and fences.

    Raises `WrongAnswer` where there is none that follows `schema`.
    """
    text = _THOUGHT.sub("", content)
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        if not Draft202012Validator(schema).is_valid(found):
            raise WrongAnswer("The language model's answer does not follow the schema.")
        assert isinstance(found, dict)  # it began with a brace
        if not _is_text(found):
            raise WrongAnswer("The language model's answer is no text.")
        return found
    raise WrongAnswer("The language model's answer is not JSON.")


def _is_text(found: dict[str, Any]) -> bool:
    """Whether all of it can be kept: JSON can spell half a character, and NUL, which Postgres refuses."""
    spelled = json.dumps(found, ensure_ascii=False)
    return "\\u0000" not in spelled and not any("\ud800" <= letter <= "\udfff" for letter in spelled)

"""Holds what a language model told of a record to the evidence lines that it was given."""

import re
from collections.abc import Sequence
from typing import Any

from workers.describing.screens import Description
from workers.engines.grounding import Evidence

MOST_CHARACTERS = 1200  # of a text; asked for are fewer
MOST_ITEMS, MOST_ITEM_CHARACTERS = 12, 300
# So many of a text's words must be the evidence's or the wish's, and so many of a decision's be said ones.
_LEAST_SHARE, _LEAST_SHARE_OF_ITEMS = 0.25, 0.6
_MARKS = re.compile(r"\s*\[\d+(?:\s*[,–-]\s*\d+)*\]")


def schema_of(lists: Sequence[str]) -> dict[str, Any]:
    """Of an answer with a text, the evidence lines that it rests on, and these lists of short texts."""
    # Small models count on for ever where they may. Lengths of text are looked at afterwards: strict servers
    # take none.
    properties: dict[str, Any] = {"text": {"type": "string"}, "lines": _items("integer")}
    properties |= {name: _items("string") for name in lists}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _items(kind: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": kind}, "maxItems": MOST_ITEMS}


def held_answer(
    answer: dict[str, Any],
    prompt: str,
    extract: Description,
    lines: Sequence[str],
    lists: Sequence[str],
    *,
    seen: bool,
) -> Description:
    """The answer to `schema_of(lists)` where the evidence lines bear it, else the extract and the reason why.

    `seen`: the model saw pictures, too.
    """
    text = " ".join(_MARKS.sub("", answer["text"]).split())
    held = Evidence("\n".join(lines))
    cited = sorted({int(number) for number in answer["lines"] if 1 <= number <= len(lines)})
    if reason := _objection(text, prompt, held, is_cited=bool(cited), seen=seen):
        return Description(extract.text, extract.details | {"model_refused": reason})
    details = extract.details | {
        "worded": text,
        "extract": extract.text,
        "rests_on": [lines[number - 1] for number in cited][:MOST_ITEMS],
    }
    for name in lists:
        details[name] = [one for one in answer[name] if _is_borne(one, held)][:MOST_ITEMS]
    return Description(text, details)


def _objection(text: str, prompt: str, held: Evidence, *, is_cited: bool, seen: bool) -> str | None:
    if not text:
        return "It said nothing."
    if len(text) > MOST_CHARACTERS:
        return "It said too much."
    if (missing := held.lacks(text)) is not None:
        return f"It named {missing}, which the evidence does not hold."
    if seen:
        return None  # what a picture shows beside its text is told in words that were not read
    if not is_cited:
        return "It named no evidence."
    if held.share(text, known=prompt) < _LEAST_SHARE:
        return "It said what the evidence does not say."
    return None


def _is_borne(item: str, held: Evidence) -> bool:
    return (
        bool(item.strip())
        and len(item) <= MOST_ITEM_CHARACTERS
        and held.lacks(item) is None
        and held.share(item) >= _LEAST_SHARE_OF_ITEMS
    )

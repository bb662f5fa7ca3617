"""What a record of an index holds, as one JSON document under the names of the vendor's fields."""

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, case, cast, func, literal
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.domain.indexes.models import IndexRecord
from app.domain.search.fields import METADATA
from app.domain.understanding.analyzers import OCR, SPOKEN_WORDS, VLM
from app.domain.understanding.fields import GIVEN

# Of use to whoever makes the next record, or to who wonders about one.
_INNER = ["frame_ids", "extract", "worded", "model_refused"]


def document(analyzer_type: SQLColumnExpression[str] | str) -> ColumnElement[Any]:
    """The document of an `IndexRecord` that an analyzer of this type has found, or a client has given.

    Times are no part of it: they are columns.
    """
    details = IndexRecord.details.op("-")(cast(_INNER, ARRAY(Text)))
    text = func.to_jsonb(IndexRecord.text)
    found = {
        GIVEN: IndexRecord.details[METADATA],
        VLM: _with(details, scene_description=text),
        OCR: _with(details.op("-")("screen_text"), combined_text=IndexRecord.details["screen_text"]),
        SPOKEN_WORDS: _with(
            details.op("-")("said"),
            text=func.coalesce(IndexRecord.details["said"], text),
            summary=text,
        ),
    }
    if isinstance(analyzer_type, str):
        return cast(found.get(analyzer_type, details), JSONB)
    return case(*((analyzer_type == type_, made) for type_, made in found.items()), else_=details)


def _with(details: ColumnElement[Any], **fields: ColumnElement[Any]) -> ColumnElement[Any]:
    pairs = [part for name, value in fields.items() for part in (literal(name, Text), value)]
    return details.op("||")(func.jsonb_build_object(*pairs))

"""Finds spoken words by full text, in streams and in finished media alike."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Float, Text, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.transcripts.models import Utterance

MAX_QUERY_CHARACTERS = 1000
MAX_RESULTS = 200


@dataclass(frozen=True, slots=True)
class Match:
    """`score` is the share of the query's words, stop words left out, that the utterance holds."""

    utterance: Utterance
    score: float


async def search_utterances(
    session: AsyncSession,
    query: str,
    owned: ColumnElement[bool],
    *,
    limit: int,
    score_threshold: float,
) -> list[Match]:
    """Best matches among the utterances for which `owned` holds.

    By share of the query's words, and then by how close together they are said. Words are compared by their
    English stems. Raises `InvalidRequest` for an empty or overlong query.
    """
    if not query.strip():
        raise InvalidRequest("query must not be empty", field="query")
    if len(query) > MAX_QUERY_CHARACTERS:
        raise InvalidRequest(f"query may have {MAX_QUERY_CHARACTERS} characters", field="query")
    stems = await session.scalar(select(func.tsvector_to_array(func.to_tsvector("english", query))))
    if not stems:
        return []
    # Each is one parameter, however many words there are: an expression a word nests too deep to compile.
    any_stem = cast(" | ".join(_quoted(stem) for stem in stems), TSQUERY)
    others = func.ts_delete(Utterance.search_vector, cast(stems, ARRAY(Text)))
    held = func.length(Utterance.search_vector) - func.length(others)
    score = (cast(held, Float) / len(stems)).label("score")
    rows = await session.execute(
        select(Utterance, score)
        .where(owned, Utterance.search_vector.op("@@")(any_stem), score >= score_threshold)
        .order_by(score.desc(), func.ts_rank_cd(Utterance.search_vector, any_stem).desc(), Utterance.start_us)
        .limit(min(limit, MAX_RESULTS))
    )
    return [Match(utterance, float(value)) for utterance, value in rows]


def _quoted(stem: str) -> str:
    """The stem as text of a tsquery, whatever is in it."""
    return "'" + stem.replace("\\", "\\\\").replace("'", "''") + "'"

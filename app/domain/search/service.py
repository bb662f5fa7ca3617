"""Finds what was said and shown by words and by meaning, in streams and in finished media alike.

Full text, nearest vectors and pictures are asked in one statement, and joined by reciprocal rank fusion: a
place in any list counts, that among the words by the share of them that is held, that among the pictures by
how likely the query describes them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    FromClause,
    Row,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.passages.models import Passage
from app.domain.search.pictures import PictureQuestion, by_pictures
from app.domain.search.selectivity import leaves_few

Kind = Literal["spoken", "visual", "audio"]

MAX_QUERY_CHARACTERS = 1000
MAX_RESULTS = 200

# Fitted on one half of bench/quality.py's set, and reported on the other.
FUSION_K = 3  # how much the first places count beside the later ones
SHARE_POWER = 2  # a passage with one word of three is no match of words to speak of
LEAST_CLOSENESS = 0.2  # below it a neighbour is merely the least far

# A record is several passages, so more neighbours are asked for than results.
CANDIDATES_PER_RESULT = 3
LEAST_CANDIDATES = 30
MOST_CANDIDATES = 400
# Of the vector index: how many nodes it holds in view, and how many it may visit for a filter that few pass.
EF_SEARCH = 100
MOST_VISITED = 20_000
# Passages of one word that are looked at: of those that hold all words so many, of each word alone so many.
MOST_WITH_ALL = 2000
MOST_WITH_ONE = 500


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for; `vector` is the query's, None to search by words alone; `picture` likewise, to
    search for pictures that show it."""

    query: str
    vector: Sequence[float] | None
    limit: int
    score_threshold: float = 0.0
    dynamic_score_percentage: float | None = None
    picture: PictureQuestion | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """An utterance or a record; times on its owner's clock in microseconds.

    `score` is from 0 to 1: the closeness in meaning, the share of the query's words, stop words left out,
    that it holds, or how likely the query describes its picture, whichever is most. Matches are in the order
    of their fused ranks, which the score need not follow.
    """

    stream_id: str | None
    asset_id: str | None
    kind: Kind
    start_us: int
    end_us: int
    text: str
    score: float
    index_id: str | None
    index_name: str | None


async def search_passages(
    session: AsyncSession, question: Question, *which: ColumnElement[bool]
) -> list[Match]:
    """Best matches among the passages for which all of `which` hold, terms of `Passage`'s columns.

    Words are compared by their English stems. Raises `InvalidRequest` for an empty or overlong query.
    """
    if not question.query.strip():
        raise InvalidRequest("query must not be empty", field="query")
    if len(question.query) > MAX_QUERY_CHARACTERS:
        raise InvalidRequest(f"query may have {MAX_QUERY_CHARACTERS} characters", field="query")
    stems: list[str] = await _prepared(session, question.query)
    if not stems and question.vector is None and question.picture is None:
        return []
    limit = min(question.limit, MAX_RESULTS)
    few = question.vector is not None and await leaves_few(session, which)
    fused = _fused(
        _by_words(stems, which),
        _by_meaning(question.vector, which, _candidates(limit), read_all=few),
        by_pictures(question.picture, which, _candidates(limit)),
    )
    score = func.greatest(fused.c.share, fused.c.closeness, fused.c.likelihood)
    rows = await session.execute(
        select(
            Passage.stream_id,
            Passage.asset_id,
            Passage.kind,
            Passage.start_us,
            Passage.end_us,
            func.coalesce(IndexRecord.text, Passage.text).label("text"),
            score.label("score"),
            Passage.index_id,
            SceneIndex.name.label("index_name"),
        )
        .select_from(fused)
        .join(Passage, Passage.id == fused.c.passage_id)
        .outerjoin(IndexRecord, IndexRecord.id == Passage.record_id)
        .outerjoin(SceneIndex, SceneIndex.id == Passage.index_id)
        .where(score >= question.score_threshold)
        .order_by(fused.c.fused.desc(), score.desc(), Passage.start_us)
        .limit(2 * limit)
    )
    matches = _each_once(_match(row) for row in rows)
    return _within(matches[:limit], question.dynamic_score_percentage)


async def _prepared(session: AsyncSession, query: str) -> list[str]:
    """The query's stems; and for this transaction, how vectors are searched."""
    row = await session.execute(
        select(
            func.tsvector_to_array(func.to_tsvector("english", query)).label("stems"),
            # Without it a filter would be asked of the nearest `ef_search` only, and could leave none.
            # What it gives is put in order afterwards.
            func.set_config("hnsw.iterative_scan", "relaxed_order", True),
            func.set_config("hnsw.ef_search", str(EF_SEARCH), True),
            func.set_config("hnsw.max_scan_tuples", str(MOST_VISITED), True),
            # How many rows a filter leaves decides between the vector index and reading them all.
            func.set_config("plan_cache_mode", "force_custom_plan", True),
            # To compile takes longer than what is compiled.
            func.set_config("jit", "off", True),
        )
    )
    return list(row.one().stems or ())


def _candidates(limit: int) -> int:
    return min(max(limit * CANDIDATES_PER_RESULT, LEAST_CANDIDATES), MOST_CANDIDATES)


def _source() -> ColumnElement[str]:
    return func.coalesce(Passage.utterance_id, Passage.record_id)


def _by_meaning(
    vector: Sequence[float] | None, which: Sequence[ColumnElement[bool]], limit: int, *, read_all: bool
) -> CTE:
    """The nearest sources: `source, passage_id, closeness, place`."""
    if vector is None:
        nothing = select(
            cast(null(), Text).label("source"),
            cast(null(), Text).label("passage_id"),
            cast(null(), Float).label("closeness"),
            cast(null(), Float).label("place"),
        )
        return nothing.where(literal(False)).cte("by_meaning")
    distance = Passage.vector.max_inner_product(vector)
    near = (
        select(Passage.id, (-distance).label("closeness"))
        .where(*which, Passage.vector.is_not(None))
        # A sum is not what the vector index is of.
        .order_by(distance + 0.0 if read_all else distance)
        .limit(limit)
        .cte("near")
    )
    return _placed(
        select(_source().label("source"), near.c.id, near.c.closeness)
        .join_from(near, Passage, Passage.id == near.c.id)
        .where(near.c.closeness >= LEAST_CLOSENESS),
        "by_meaning",
    )


def _placed(found: Select[Any], name: str) -> CTE:
    """Each source's best passage with its place, best first."""
    rows = found.subquery()
    best = _first_of_each(rows, rows.c.closeness.desc(), rows.c.id)
    place = func.row_number().over(order_by=best.c.closeness.desc())
    return select(
        best.c.source, best.c.id.label("passage_id"), best.c.closeness, cast(place, Float).label("place")
    ).cte(name)


def _first_of_each(rows: FromClause, *order: ColumnElement[Any]) -> FromClause:
    """Of each source the row that comes first in this order."""
    turn = func.row_number().over(partition_by=rows.c.source, order_by=order).label("turn")
    numbered = select(rows, turn).subquery()
    return select(numbered).where(numbered.c.turn == 1).subquery()


def _by_words(stems: Sequence[str], which: Sequence[ColumnElement[bool]]) -> CTE:
    """The sources that hold any of the stems: `source, passage_id, share, place`.

    By the share of the stems that they hold, and then by how close together these stand.
    """
    # Each is one parameter, however many words there are: an expression a word nests too deep to compile.
    quoted = [_quoted(stem) for stem in stems]
    any_stem, all_stems = cast(" | ".join(quoted), TSQUERY), cast(" & ".join(quoted), TSQUERY)
    others = func.ts_delete(Passage.search_vector, cast(list(stems), ARRAY(Text)))
    held = func.length(Passage.search_vector) - func.length(others)
    # Ranks are worth their time for so many only: a common word stands in thousands of passages.
    with_all = (
        select(Passage.id)
        .where(*which, Passage.search_vector.op("@@")(all_stems), literal(bool(stems)))
        .limit(MOST_WITH_ALL)
    )
    each = func.unnest(cast(quoted, ARRAY(Text))).table_valued("stem").render_derived(name="each")
    with_one = (
        select(Passage.id)
        .where(*which, Passage.search_vector.op("@@")(cast(each.c.stem, TSQUERY)))
        .limit(MOST_WITH_ONE)
        .lateral()
    )
    of_each = select(with_one.c.id).select_from(each.join(with_one, true()))
    looked_at = union(with_all.subquery().select(), of_each)
    hits = (
        select(
            _source().label("source"),
            Passage.id,
            (cast(held, Float) / max(1, len(stems))).label("share"),
            func.ts_rank_cd(Passage.search_vector, any_stem).label("cover"),
            Passage.start_us,
        )
        .where(Passage.id.in_(looked_at))
        .cte("hits")
    )
    best = _first_of_each(hits, hits.c.share.desc(), hits.c.cover.desc())
    order = (best.c.share.desc(), best.c.cover.desc(), best.c.start_us)
    return (
        select(
            best.c.source,
            best.c.id.label("passage_id"),
            best.c.share,
            cast(func.row_number().over(order_by=order), Float).label("place"),
        )
        .order_by(*order)
        .limit(MOST_CANDIDATES)
        .cte("by_words")
    )


def _fused(words: CTE, meaning: CTE, pictures: CTE) -> CTE:
    both = words.join(meaning, words.c.source == meaning.c.source, full=True)
    of_either = func.coalesce(words.c.source, meaning.c.source)
    joined = both.join(pictures, pictures.c.source == of_either, full=True)
    closeness = func.coalesce(meaning.c.closeness, 0.0)
    share = func.coalesce(words.c.share, 0.0)
    of_text = case((share >= closeness, words.c.passage_id), else_=meaning.c.passage_id)
    return (
        select(
            func.coalesce(of_text, pictures.c.passage_id).label("passage_id"),
            closeness.label("closeness"),
            share.label("share"),
            func.coalesce(pictures.c.likelihood, 0.0).label("likelihood"),
            (
                func.coalesce(func.power(words.c.share, SHARE_POWER) / (FUSION_K + words.c.place), 0.0)
                + func.coalesce(1.0 / (FUSION_K + meaning.c.place), 0.0)
                + func.coalesce(pictures.c.likelihood / (FUSION_K + pictures.c.place), 0.0)
            ).label("fused"),
        )
        .select_from(joined)
        .cte("fused")
    )


def _match(row: Row[Any]) -> Match:
    fields = row._asdict()
    return Match(**fields | {"score": min(1.0, float(row.score))})


def _each_once(matches: Iterable[Match]) -> list[Match]:
    """Without what several indexes of one stream or asset tell alike."""
    told: dict[tuple[object, ...], Match] = {}
    for one in matches:
        told.setdefault((one.stream_id, one.asset_id, one.start_us, one.end_us, one.text), one)
    return list(told.values())


def _within(matches: list[Match], percentage: float | None) -> list[Match]:
    """Those in the uppermost `percentage` of the span of scores; all without one."""
    if percentage is None or not matches:
        return matches
    scores = [match.score for match in matches]
    least = max(scores) - (max(scores) - min(scores)) * percentage / 100
    return [match for match in matches if match.score >= least]


def _quoted(stem: str) -> str:
    """The stem as text of a tsquery, whatever is in it."""
    return "'" + stem.replace("\\", "\\\\").replace("'", "''") + "'"

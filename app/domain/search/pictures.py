"""The list of a search that is ranked by what pictures show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import CTE, ColumnElement, Float, Text, cast, func, literal, null, select

from app.domain.passages.models import Passage
from app.engines.contract import EVEN_LOGIT

# Below it a picture shows something else.
LEAST_LIKELIHOOD = 0.35


@dataclass(frozen=True, slots=True)
class PictureQuestion:
    """`vector` is the query's: its inner product with a picture's of the same `space` is a logit."""

    space: str
    vector: Sequence[float]


def by_pictures(question: PictureQuestion | None, which: Sequence[ColumnElement[bool]], limit: int) -> CTE:
    """The sources whose pictures show it: `source, passage_id, likelihood, place`."""
    if question is None:
        nothing = select(
            cast(null(), Text).label("source"),
            cast(null(), Text).label("passage_id"),
            cast(null(), Float).label("likelihood"),
            cast(null(), Float).label("place"),
        )
        return nothing.where(literal(False)).cte("by_pictures")
    dimensions = len(question.vector)
    column: ColumnElement[Any] = cast(Passage.picture_vector, HALFVEC(dimensions))
    distance = column.op("<#>", return_type=Float)(cast(list(question.vector), HALFVEC(dimensions)))
    near = (
        select(Passage.id, Passage.record_id.label("source"), (-distance).label("logit"))
        .where(
            *which,
            Passage.picture_space == question.space,
            # Said in the words of the vector index, which is one of those of this length.
            func.vector_dims(Passage.picture_vector) == literal(dimensions, literal_execute=True),
        )
        .order_by(distance)
        .limit(limit)
        .subquery()
    )
    likelihood = 1.0 / (1.0 + func.exp(EVEN_LOGIT - near.c.logit))
    turn = func.row_number().over(partition_by=near.c.source, order_by=near.c.logit.desc()).label("turn")
    each = select(near.c.source, near.c.id, likelihood.label("likelihood"), turn).subquery()
    place = func.row_number().over(order_by=each.c.likelihood.desc())
    return (
        select(
            each.c.source,
            each.c.id.label("passage_id"),
            each.c.likelihood,
            cast(place, Float).label("place"),
        )
        .where(each.c.turn == 1, each.c.likelihood >= LEAST_LIKELIHOOD)
        .cte("by_pictures")
    )

"""Whether a filter leaves so few passages that to read them all is quicker than to walk the graph."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Executable, Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from app.domain.passages.models import Passage

# At a microsecond each from an index that holds their vectors, at five from the table: to walk the graph is
# slower where a filter lets one in thirty pass, and the planner does not know it. By bench/search.py.
READ_ALL_UP_TO = 20_000
FETCH_ALL_UP_TO = 5_000


class _Explained(Executable, ClauseElement):
    """What the planner thinks of a statement."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explained)  # type: ignore[no-untyped-call, untyped-decorator, unused-ignore]
def _compile_explained(element: _Explained, compiler: SQLCompiler, **kw: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + compiler.process(element.statement, **kw)


async def leaves_few(session: AsyncSession, which: Sequence[ColumnElement[bool]]) -> bool:
    """Whether the planner thinks that a filter leaves so few passages that all are read. To count them would
    take as long as to search."""
    explained = await session.scalar(_Explained(select(Passage.id).where(*which)))
    plans = json.loads(explained) if isinstance(explained, str) else explained
    return are_few(plans[0]["Plan"])


def are_few(plan: dict[str, Any]) -> bool:
    """The same of what the planner answers."""
    return float(plan["Plan Rows"]) <= (READ_ALL_UP_TO if _reads_index_alone(plan) else FETCH_ALL_UP_TO)


def _reads_index_alone(plan: dict[str, Any]) -> bool:
    if plan.get("Relation Name") == Passage.__tablename__:
        return bool(plan["Node Type"] == "Index Only Scan")
    return any(_reads_index_alone(part) for part in plan.get("Plans", ()))

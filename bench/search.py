"""How long search takes among a million passages, and how many of the nearest it finds.

Real Postgres, the product's own schema, indexes and statement. The vectors are synthetic: points around
topics in 384 dimensions, as sentences lie, and so are the texts, of words by Zipf's law. Four accounts have
half, a fifth, a hundredth and a thousandth of the passages; times are spread over a month. For each of
several filters it prints the latency of the whole statement and of its half that asks for vectors, and that
half's recall@10 against reading every row, which is the reference. `p99 on a core` leaves out how long the
database and this process were ready to run and waited for a core, by Linux's schedstat: what others on the
same machine cost.

    python -m bench.search [--records N] [--queries Q] [--folder F] [--random] [--goal]

A folder that is named is kept, and not filled again. With `--random` the vectors lie anywhere, in no topics:
the worst case, since the nearest is hardly nearer than the rest.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
from sqlalchemy import ColumnElement, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.search import LONGEST_PASSAGE_US
from app.base.db import Database
from app.domain.passages.models import Passage
from app.domain.search import service as search
from app.domain.search.selectivity import leaves_few
from app.domain.search.service import Question, search_passages
from app.embedded.postgres import running_postgres
from bench.synthetic_passages import MONTH_US, ZERO_US, Source, fill
from tests.fixtures.servers import migrate

GOAL_P99_SECONDS = 0.020
GOAL_RECALL = 0.95
NEAREST = 10
WARM_UP = 20


@dataclass(frozen=True)
class Case:
    """A filter, by its name."""

    name: str
    account: str
    share_of_time: float = 1.0
    one_stream: bool = False

    @property
    def terms(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = [Passage.account_id == self.account]
        if self.share_of_time < 1:
            middle = ZERO_US + MONTH_US // 2
            found += [
                Passage.end_us > middle,
                Passage.start_us > middle - LONGEST_PASSAGE_US,
                Passage.start_us < middle + round(MONTH_US * self.share_of_time),
            ]
        if self.one_stream:
            found.append(Passage.stream_id == f"rts-{self.account}-0")
        return found


CASES = [
    Case("half of all", "acc-half"),
    Case("half, one day in thirty", "acc-half", 1 / 30),
    Case("half, one of 20 streams", "acc-half", 1, one_stream=True),
    Case("a fifth", "acc-fifth"),
    Case("a fifth, one week", "acc-fifth", 7 / 30),
    Case("a hundredth", "acc-hundredth"),
    Case("a thousandth, one week", "acc-thousandth", 7 / 30),
]


async def nearest(session: AsyncSession, vector: Sequence[float], case: Case) -> list[str]:
    """The product's own half of the statement that asks for vectors."""
    await search._prepared(session, "")
    few = await leaves_few(session, case.terms)
    found = search._by_meaning(vector, case.terms, search._candidates(NEAREST), read_all=few)
    rows = await session.execute(select(found.c.passage_id).order_by(found.c.place).limit(NEAREST))
    return list(rows.scalars())


async def exact(session: AsyncSession, vector: Sequence[float], case: Case) -> list[str]:
    """The same by reading every row."""
    await session.execute(text("set local enable_indexscan = off"))
    near = Passage.vector.max_inner_product(vector)
    rows = await session.execute(
        select(Passage.id).where(*case.terms, -near >= search.LEAST_CLOSENESS).order_by(near).limit(NEAREST)
    )
    return list(rows.scalars())


@dataclass(frozen=True)
class Took:
    """How long something took in seconds, and without what was spent waiting for a core."""

    wall: float
    on_core: float


async def timed(session: AsyncSession, work: Callable[[], Awaitable[Any]]) -> tuple[Any, Took]:
    """Do the work in the session's transaction."""
    backend = await session.scalar(text("select pg_backend_pid()"))
    waited, began = _waited_seconds(backend), time.perf_counter()
    found = await work()
    wall = time.perf_counter() - began
    return found, Took(wall, wall - (_waited_seconds(backend) - waited))


def _waited_seconds(backend: int) -> float:
    """How long the database's process and this one's main thread have been ready and had no core."""
    own = Path(f"/proc/self/task/{os.getpid()}/schedstat")
    return sum(int(path.read_text().split()[1]) for path in (own, Path(f"/proc/{backend}/schedstat"))) / 1e9


@dataclass
class Measured:
    """What was measured under one filter."""

    whole: list[Took] = field(default_factory=list)
    half: list[Took] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)

    @property
    def p99(self) -> float:
        return _percentile([took.wall for took in self.whole], 99)

    @property
    def p99_on_core(self) -> float:
        return _percentile([took.on_core for took in self.whole], 99)

    @property
    def recall(self) -> float:
        return float(np.mean(self.recalls)) if self.recalls else 1.0  # nothing near enough, and nothing found

    def row(self, name: str) -> str:
        numbers = [
            _percentile([took.wall for took in self.half], 50),
            _percentile([took.wall for took in self.half], 99),
            _percentile([took.on_core for took in self.half], 99),
            _percentile([took.wall for took in self.whole], 50),
            self.p99,
            self.p99_on_core,
        ]
        return f"{name:24}" + "".join(f"{seconds * 1e3:9.1f}" for seconds in numbers) + f"{self.recall:11.3f}"


def _percentile(seconds: Sequence[float], share: float) -> float:
    return float(np.percentile(seconds, share))


async def measure(db: Database, case: Case, queries: int, *, anywhere: bool) -> Measured:
    """Ask the same queries under one filter."""
    source = Source(3, anywhere=anywhere)
    vectors = source.vectors(queries + WARM_UP).tolist()
    texts = source.queries(queries + WARM_UP)
    measured = Measured()
    for number, (vector, words) in enumerate(zip(vectors, texts, strict=True)):
        async with db.transaction() as session:
            found, half = await timed(session, lambda v=vector, s=session: nearest(s, v, case))
        async with db.transaction() as session:
            question = Question(words, vector, NEAREST)
            _, whole = await timed(session, lambda q=question, s=session: search_passages(s, q, *case.terms))
        if number < WARM_UP:
            continue
        measured.whole.append(whole)
        measured.half.append(half)
        if number % 4 == 0:
            async with db.transaction() as session:
                true = await exact(session, vector, case)
            if true or found:
                measured.recalls.append(len(set(found) & set(true)) / max(1, len(true)))
    print(measured.row(case.name), flush=True)
    return measured


def report(found: Sequence[Measured]) -> bool:
    """Print the goals, and whether they are met under every filter."""
    p99, on_core = (max(found, key=key) for key in (lambda one: one.p99, lambda one: one.p99_on_core))
    recall = min(one.recall for one in found)
    ways = (("p99", p99.p99), ("p99 on a core", on_core.p99_on_core))
    for name, seconds in ways:
        met = "met" if seconds <= GOAL_P99_SECONDS else "missed"
        goal = f"{name} <= {GOAL_P99_SECONDS * 1e3:.0f} ms under every filter"
        print(f"{goal}: {met}, at most {seconds * 1e3:.1f} ms")
    met = "met" if recall >= GOAL_RECALL else "missed"
    print(f"recall@{NEAREST} >= {GOAL_RECALL} under every filter: {met}, at least {recall:.3f}")
    return p99.p99 <= GOAL_P99_SECONDS and recall >= GOAL_RECALL


async def run(records: int, queries: int, folder: Path, *, anywhere: bool) -> bool:
    filled = folder / "filled"
    with running_postgres(folder) as url:
        url = url.rpartition("/")[0] + "/bench"
        if not filled.exists():
            admin = await asyncpg.connect(
                url.rpartition("/")[0].replace("+asyncpg", "") + "/postgres", timeout=30
            )
            await admin.execute("drop database if exists bench")
            await admin.execute("create database bench")
            await admin.execute("alter system set shared_buffers = '2GB'")
            await admin.close()
            migrate(url)
            await fill(url, records, anywhere=anywhere)
            filled.write_text(str(records))
    with running_postgres(folder) as url:
        db = Database(url.rpartition("/")[0] + "/bench")
        async with db.transaction() as session:
            await session.execute(text("create extension if not exists pg_prewarm"))
            await session.execute(text("select pg_prewarm('ix_passages_vector'), pg_prewarm('passages')"))
        print(f"{filled.read_text()} passages, {queries} queries each")
        print(f"{'ms':24}{'vectors':>9}{'':18}{'all':>9}")
        print(f"{'':24}" + f"{'p50':>9}{'p99':>9}{'on core':>9}" * 2 + f"{f'recall@{NEAREST}':>11}")
        found = [await measure(db, case, queries, anywhere=anywhere) for case in CASES]
        await db.close()
    return report(found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--random", action="store_true", help="vectors in no topics")
    parser.add_argument("--goal", action="store_true", help="exit with 1 where a goal is missed")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    with nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as folder:
        good = asyncio.run(run(given.records, given.queries, Path(folder), anywhere=given.random))
    return 1 if given.goal and not good else 0


if __name__ == "__main__":
    sys.exit(main())

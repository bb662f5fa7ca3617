"""How long search takes among a million passages, and how many of the nearest it finds.

Real Postgres, the product's own schema, indexes and statement. The vectors are synthetic: points around
topics in 384 dimensions, as sentences lie, and so are the texts, of words by Zipf's law. Four accounts have
half, a fifth, a hundredth and a thousandth of the passages; times are spread over a month. For each of
several filters it prints the latency of the whole statement and of its half that asks for vectors, and that
half's recall@10 against reading every row.

    python -m bench.search [--records N] [--queries Q] [--folder F] [--goal]

A folder that is named is kept, and not filled again.
"""

import argparse
import asyncio
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.search import LONGEST_PASSAGE_US
from app.base.db import Database
from app.domain.passages.models import DIMENSIONS, Passage
from app.domain.search import service as search
from app.domain.search.service import Question, search_passages
from app.embedded.postgres import running_postgres
from tests.fixtures.servers import migrate

GOAL_P99_SECONDS = 0.020
GOAL_RECALL = 0.95
NEAREST = 10
TOPICS = 2000
VOCABULARY = 50_000
WORDS_EACH = 12
STOP_WORDS = 100
SHARES = {"acc-half": 0.5, "acc-fifth": 0.2, "acc-hundredth": 0.01, "acc-thousandth": 0.001}
REST = "acc-rest"
STREAMS_EACH = 20
MONTH_US = 30 * 86_400_000_000
ZERO_US = 1_760_000_000_000_000
BATCH = 20_000
WARM_UP = 20
Vectors = NDArray[np.float32]


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


class Source:
    """Synthetic passages, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        topics = np.random.default_rng(1).standard_normal((TOPICS, DIMENSIONS)).astype(np.float32)
        self.topics = topics / np.linalg.norm(topics, axis=1, keepdims=True)
        ranks = np.arange(1, VOCABULARY + 1, dtype=np.float64)
        self.weights = (1 / ranks) / (1 / ranks).sum()

    def vectors(self, count: int) -> Vectors:
        """Around a topic each, as far from it as sentences of one subject are from each other."""
        noise = self.random.standard_normal((count, DIMENSIONS)).astype(np.float32) / np.sqrt(DIMENSIONS)
        found = self.topics[self.random.integers(0, TOPICS, count)] + noise
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def texts(self, count: int, words_each: int = WORDS_EACH) -> list[str]:
        words = self.random.choice(VOCABULARY, (count, words_each), p=self.weights)
        return [" ".join(f"w{number}q" for number in row) for row in words]

    def queries(self, count: int) -> list[str]:
        """Three words each, none of the commonest: in English those are stop words, which nobody indexes."""
        weights = self.weights[STOP_WORDS:] / self.weights[STOP_WORDS:].sum()
        words = self.random.choice(np.arange(STOP_WORDS, VOCABULARY), (count, 3), p=weights)
        return [" ".join(f"w{number}q" for number in row) for row in words]

    def accounts(self, count: int) -> list[str]:
        names = [*SHARES, REST]
        shares = [*SHARES.values(), 1 - sum(SHARES.values())]
        return [names[number] for number in self.random.choice(len(names), count, p=shares)]


async def fill(url: str, records: int) -> None:
    """COPY the rows, then build the indexes as an operator who restores a dump does."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=30)
    await connection.set_type_codec(
        "halfvec", schema="public", encoder=_as_halfvec, decoder=bytes, format="binary"
    )
    indexes = await connection.fetch(
        "select indexname, indexdef from pg_indexes"
        " where tablename = 'passages' and indexname <> 'pk_passages'"
    )
    for row in indexes:
        await connection.execute(f'drop index "{row["indexname"]}"')
    await connection.execute("alter table passages disable trigger all")  # the rows they belong to are few
    await _add_owners(connection)
    source = Source(2)
    for at in range(0, records, BATCH):
        count = min(BATCH, records - at)
        await _copy(connection, source, at, count)
        print(f"\r{at + count:>9,} rows", end="", flush=True)
    print()
    await connection.execute("set maintenance_work_mem = '2GB'")
    await connection.execute("set max_parallel_maintenance_workers = 1")
    for row in indexes:
        began = time.monotonic()
        await connection.execute(row["indexdef"], timeout=7200)
        print(f"  {row['indexname']}: {time.monotonic() - began:.1f} s", flush=True)
    await connection.execute("vacuum analyze passages", timeout=600)
    await connection.close()


async def _add_owners(connection: asyncpg.Connection) -> None:
    for account in [*SHARES, REST]:
        await connection.execute("insert into accounts (id, name) values ($1, $1)", account)
        await connection.execute(
            "insert into collections (id, account_id, name, description, is_public, is_default)"
            " values ($1, $2, 'all', '', false, true)",
            f"col-{account}",
            account,
        )
        for number in range(STREAMS_EACH):
            await connection.execute(
                "insert into streams (id, account_id, collection_id, name, media_type, store, status,"
                " publisher_state) values ($1, $2, $3, 'x', 'audio', false, 'stopped', 'none')",
                f"rts-{account}-{number}",
                account,
                f"col-{account}",
            )


async def _copy(connection: asyncpg.Connection, source: Source, first: int, count: int) -> None:
    accounts, texts = source.accounts(count), source.texts(count)
    starts = source.random.integers(ZERO_US, ZERO_US + MONTH_US, count)
    streams = source.random.integers(0, STREAMS_EACH, count)
    vectors = source.vectors(count)
    rows = [
        (
            f"psg-{first + number}",
            accounts[number],
            f"rts-{accounts[number]}-{streams[number]}",
            f"utt-{first + number}",
            "spoken",
            int(starts[number]),
            int(starts[number]) + 3_000_000,
            texts[number],
            vectors[number],
            0,
        )
        for number in range(count)
    ]
    names = "id account_id stream_id utterance_id kind start_us end_us text vector attempts"
    await connection.copy_records_to_table("passages", records=rows, columns=names.split(), timeout=300)


def _as_halfvec(vector: Vectors) -> bytes:
    return struct.pack(">HH", len(vector), 0) + vector.astype(">f2").tobytes()


async def nearest(session: AsyncSession, vector: Sequence[float], case: Case) -> list[str]:
    """The product's own half of the statement that asks for vectors."""
    await search._prepared(session, "")
    few = await search._estimated(session, case.terms) <= search.READ_ALL_UP_TO
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


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    began = time.perf_counter()
    found = await work()
    return found, time.perf_counter() - began


async def measure(db: Database, case: Case, queries: int) -> tuple[float, float, float]:
    """p99 seconds of the statement and of its vector half, and the recall."""
    source = Source(3)
    vectors = source.vectors(queries + WARM_UP).tolist()
    texts = source.queries(queries + WARM_UP)
    whole, half, recalls = [], [], []
    for number, (vector, words) in enumerate(zip(vectors, texts, strict=True)):
        async with db.transaction() as session:
            found, half_seconds = await timed(lambda v=vector, s=session: nearest(s, v, case))
        async with db.transaction() as session:
            question = Question(words, vector, NEAREST)
            _, seconds = await timed(lambda q=question, s=session: search_passages(s, q, *case.terms))
        if number < WARM_UP:
            continue
        whole.append(seconds)
        half.append(half_seconds)
        if number % 4 == 0:
            async with db.transaction() as session:
                true = await exact(session, vector, case)
            if true:
                recalls.append(len(set(found) & set(true)) / len(true))
    p50, p99 = (float(np.percentile(whole, share)) for share in (50, 99))
    half50, half99 = (float(np.percentile(half, share)) for share in (50, 99))
    recall = float(np.mean(recalls))
    print(
        f"{case.name:28} vectors p50 {half50 * 1e3:6.1f} p99 {half99 * 1e3:6.1f} ms   "
        f"hybrid p50 {p50 * 1e3:6.1f} p99 {p99 * 1e3:6.1f} ms   recall@{NEAREST} {recall:.3f}",
        flush=True,
    )
    return p99, half99, recall


async def run(records: int, queries: int, folder: Path, *, goal: bool) -> bool:
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
            await fill(url, records)
            filled.write_text(str(records))
    with running_postgres(folder) as url:
        db = Database(url.rpartition("/")[0] + "/bench")
        async with db.transaction() as session:
            await session.execute(text("create extension if not exists pg_prewarm"))
            await session.execute(text("select pg_prewarm('ix_passages_vector'), pg_prewarm('passages')"))
        print(f"{filled.read_text()} passages, {queries} queries each")
        found = [await measure(db, case, queries) for case in CASES]
        await db.close()
    good = all(p99 <= GOAL_P99_SECONDS and recall >= GOAL_RECALL for p99, _, recall in found)
    return good or not goal


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--goal", action="store_true")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    with nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as folder:
        good = asyncio.run(run(given.records, given.queries, Path(folder), goal=given.goal))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Synthetic passages in any number: vectors around topics, texts by Zipf's law, accounts of several sizes."""

import struct
import time

import asyncpg
import numpy as np
from numpy.typing import NDArray

from app.domain.passages.models import DIMENSIONS

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
Vectors = NDArray[np.float32]


class Source:
    """Synthetic passages, the same for the same seed."""

    def __init__(self, seed: int, *, anywhere: bool = False) -> None:
        self.anywhere = anywhere
        self.random = np.random.default_rng(seed)
        topics = np.random.default_rng(1).standard_normal((TOPICS, DIMENSIONS)).astype(np.float32)
        self.topics = topics / np.linalg.norm(topics, axis=1, keepdims=True)
        ranks = np.arange(1, VOCABULARY + 1, dtype=np.float64)
        self.weights = (1 / ranks) / (1 / ranks).sum()

    def vectors(self, count: int) -> Vectors:
        """Around a topic each, as far from it as sentences of one subject are from each other."""
        noise = self.random.standard_normal((count, DIMENSIONS)).astype(np.float32) / np.sqrt(DIMENSIONS)
        if self.anywhere:
            return noise / np.linalg.norm(noise, axis=1, keepdims=True)
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


async def fill(url: str, records: int, *, anywhere: bool) -> None:
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
    source = Source(2, anywhere=anywhere)
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

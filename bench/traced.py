"""When rows are written, noted by triggers in a bench's own database: the product knows nothing of it."""

from dataclasses import dataclass

import asyncpg

# What is noted, by the name that it gets here: which table, and what is done to its rows.
_WATCHED = {
    "speech stored": ("speech_chunks", "insert"),
    "speech taken": ("speech_chunks", "update of attempts"),
    "words saved": ("utterances", "insert"),
    "screen kept": ("screen_frames", "insert"),
    "screen read": ("screen_frames", "update of lines"),
    "window ended": ("index_windows", "insert"),
    "record saved": ("index_records", "insert"),
}
_TABLE = """
create table bench_trace
  (what text, row_id text, index_id text, start_us bigint, at timestamptz default clock_timestamp());
create function bench_note() returns trigger language plpgsql as $$ begin
  insert into bench_trace (what, row_id, index_id, start_us) values (tg_argv[0], to_jsonb(new)->>'id',
    to_jsonb(new)->>'index_id', (to_jsonb(new)->>'start_us')::bigint);
  return null;
end $$;
"""


@dataclass(frozen=True, slots=True)
class Note:
    """A row was written at `at`, Unix seconds."""

    what: str
    row_id: str
    index_id: str | None
    start_us: int | None
    at: float


async def start_tracing(database_url: str) -> None:
    """Note every row from now on."""
    triggers = [
        f"create trigger bench_{number} after {act} on {table}"
        f" for each row execute function bench_note('{what}');"
        for number, (what, (table, act)) in enumerate(_WATCHED.items())
    ]
    connection = await _connect(database_url)
    await connection.execute(_TABLE + "".join(triggers))
    await connection.close()


async def take_notes(database_url: str) -> list[Note]:
    """All of them in their order, once: they are gone afterwards."""
    connection = await _connect(database_url)
    rows = await connection.fetch(
        "delete from bench_trace returning what, row_id, index_id, start_us, extract(epoch from at)"
    )
    await connection.close()
    return sorted((Note(*tuple(row)[:4], float(row[4])) for row in rows), key=lambda note: note.at)


async def rows_waiting(database_url: str) -> int:
    """How many utterances and windows have not been understood yet."""
    connection = await _connect(database_url)
    count: int = await connection.fetchval(
        "select (select count(*) from speech_chunks) + (select count(*) from index_windows)"
    )
    await connection.close()
    return count


async def _connect(database_url: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        database_url.replace("postgresql+asyncpg://", "postgresql://", 1), timeout=10
    )

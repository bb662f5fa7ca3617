"""Pictures of rendered desktops, read by the real engine, become records and frames."""

import asyncio
import io
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, update

from app.base.ids import new_id, utc_now
from app.domain.indexes.models import IndexRecord, IndexWindow, ScreenFrame
from app.domain.indexes.windows import add_screen, add_window, ring_due_windows, take_turn
from app.domain.outbox.models import OutboxMessage
from app.engines.contract import ModelMissing
from app.process import Context
from app.storage.keys import screen_key
from tests.fixtures.desktops import Picture, desktop
from tests.fixtures.factories import clear_jobs, jobs_of, make_active, make_tenant
from tests.fixtures.indexing import AT_US, SECOND, make_index
from workers.engines.contract import ScreenLine
from workers.tasks import read_screen as reading
from workers.tasks.index_window import MAX_ATTEMPTS, index_window
from workers.tasks.read_screen import read_new_screen, read_screen

BUILD = desktop("Terminal - make test", ["Build failed", "error: cannot find module foo", "3 tests failed"])
MAIL = desktop("Mail - Inbox", ["Messages", "Lunch on Friday?", "Your invoice is ready"])


class Indexed:
    """A display with an index, and pictures of it at whole seconds."""

    def __init__(self, context: Context, account_id: str, stream_id: str, index_id: str) -> None:
        self.context, self.account_id = context, account_id
        self.stream_id, self.index_id = stream_id, index_id

    async def picture(self, pixels: Picture, at_second: int) -> str:
        frame_id = new_id("frm")
        key = screen_key(self.account_id, self.stream_id, frame_id)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=92)
        await self.context.storage.put_bytes(key, file.getvalue())
        async with self.context.db.transaction() as session:
            await add_screen(
                session,
                frame_id=frame_id,
                stream_id=self.stream_id,
                storage_key=key,
                at_us=AT_US + at_second * SECOND,
                width=pixels.shape[1],
                height=pixels.shape[0],
            )
        return frame_id

    async def window(self, start_second: int, *frame_ids: str) -> str:
        async with self.context.db.transaction() as session:
            await add_window(
                session,
                self.index_id,
                start_us=AT_US + start_second * SECOND,
                end_us=AT_US + (start_second + 10) * SECOND,
                frame_ids=frame_ids,
            )
            window_id = await session.scalar(
                select(IndexWindow.id).where(IndexWindow.start_us == AT_US + start_second * SECOND)
            )
        assert window_id is not None
        return window_id

    async def all(self, table: type[Any], order: Any) -> list[Any]:
        async with self.context.db.transaction() as session:
            return list(await session.scalars(select(table).order_by(order)))

    async def records(self) -> list[IndexRecord]:
        return await self.all(IndexRecord, IndexRecord.start_us)


@pytest.fixture
async def indexed(context: Context) -> Indexed:
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant, ("display:1",))
    index_id = await make_index(context, opened["display:1"], prompt="Which errors does the build show?")
    return Indexed(context, tenant.account_id, opened["display:1"], index_id)


async def test_a_window_becomes_a_record_that_says_what_is_on_the_screen(indexed: Indexed) -> None:
    frame_id = await indexed.picture(BUILD, 0)
    await read_screen(indexed.context, frame_id)
    window_id = await indexed.window(0, frame_id)
    await index_window(indexed.context, window_id)
    await index_window(indexed.context, window_id)  # a second ring finds nothing to do
    (record,) = await indexed.records()
    assert record.text.startswith("The screen shows “Terminal - make test”, headed “Build failed”.")
    assert "error: cannot find module foo" in record.text
    assert (record.start_us, record.end_us) == (AT_US, AT_US + 10 * SECOND)
    assert await indexed.all(IndexWindow, IndexWindow.id) == []
    (event,) = [
        row for row in await indexed.all(OutboxMessage, OutboxMessage.id) if row.name == "visual_index.record"
    ]
    assert [frame["data"]["text"] for frame in event.payload["frames"]] == [record.text, record.text]


async def test_what_was_not_read_in_time_is_read_with_its_window(indexed: Indexed) -> None:
    frame_ids = [await indexed.picture(BUILD, 0), await indexed.picture(MAIL, 4)]
    await index_window(indexed.context, await indexed.window(0, *frame_ids))
    (record,) = await indexed.records()
    assert "Mail - Inbox" in record.text
    assert "cannot find module foo" in record.text.partition("Shown in between")[2]
    frames = await indexed.all(ScreenFrame, ScreenFrame.at_us)
    assert all(frame.lines is not None for frame in frames)


async def test_the_next_window_says_what_is_new_and_a_still_screen_that_it_is_still(
    indexed: Indexed,
) -> None:
    first = await indexed.picture(BUILD, 0)
    await index_window(indexed.context, await indexed.window(0, first))
    await index_window(indexed.context, await indexed.window(10, first))
    more = desktop(
        "Terminal - make test",
        ["Build failed", "error: cannot find module foo", "3 tests failed", "Retrying the build"],
    )
    await index_window(indexed.context, await indexed.window(20, first, await indexed.picture(more, 25)))
    _, still, changed = await indexed.records()
    assert still.text.startswith("The screen still shows")
    assert still.details["changed"] is False
    assert "New is: Retrying the build." in changed.text


async def test_a_picture_that_is_gone_or_broken_is_left_out(indexed: Indexed) -> None:
    good, broken = await indexed.picture(BUILD, 0), await indexed.picture(np.zeros_like(BUILD), 2)
    async with indexed.context.db.transaction() as session:
        key = (await session.get_one(ScreenFrame, broken)).storage_key
    await indexed.context.storage.delete(key)
    await index_window(indexed.context, await indexed.window(0, good, broken, "frm-none"))
    (record,) = await indexed.records()
    assert record.details["frame_ids"] == [good, broken]
    assert "cannot find module foo" in record.text


async def test_a_window_without_a_picture_leaves_nothing(indexed: Indexed) -> None:
    await index_window(indexed.context, await indexed.window(0, "frm-none"))
    assert await indexed.records() == await indexed.all(IndexWindow, IndexWindow.id) == []


async def test_a_window_that_keeps_failing_is_given_up(indexed: Indexed) -> None:
    window_id = await indexed.window(0, await indexed.picture(BUILD, 0))
    async with indexed.context.db.transaction() as session:
        (await session.get_one(IndexWindow, window_id)).attempts = MAX_ATTEMPTS
    await index_window(indexed.context, window_id)
    assert await indexed.records() == await indexed.all(IndexWindow, IndexWindow.id) == []


async def test_a_window_that_waits_too_long_is_rung_for_again(indexed: Indexed) -> None:
    window_id = await indexed.window(0, "frm-none")
    await clear_jobs(indexed.context)
    async with indexed.context.db.transaction() as session:
        window = await session.get_one(IndexWindow, window_id)
        window.due_at = window.due_at.replace(year=2020)
    for _ in range(2):
        async with indexed.context.db.transaction() as session:
            await ring_due_windows(session)
    assert await jobs_of(indexed.context, "index_window") == [window_id]


async def aged(indexed: Indexed, table: type[Any], row_id: str) -> None:
    """Let the row be a minute older than it is."""
    async with indexed.context.db.transaction() as session:
        await session.execute(
            update(table).where(table.id == row_id).values(created_at=utc_now() - timedelta(minutes=1))
        )


async def texts_read(indexed: Indexed) -> list[bool]:
    """Of each picture, in order, whether it has been read."""
    frames = await indexed.all(ScreenFrame, ScreenFrame.at_us)
    return [frame.lines is not None for frame in frames]


async def test_of_a_window_that_is_late_the_last_picture_is_read(indexed: Indexed) -> None:
    window_id = await indexed.window(0, await indexed.picture(BUILD, 0), await indexed.picture(MAIL, 4))
    await aged(indexed, IndexWindow, window_id)
    await index_window(indexed.context, window_id)
    (record,) = await indexed.records()
    assert "Mail - Inbox" in record.text
    assert "Shown in between" not in record.text
    assert await texts_read(indexed) == [False, True]


async def test_a_new_picture_is_read_at_once_and_a_late_one_is_left_to_its_window(indexed: Indexed) -> None:
    late, new = await indexed.picture(BUILD, 0), await indexed.picture(MAIL, 4)
    await aged(indexed, ScreenFrame, late)
    for frame_id in (late, new, "frm-none"):
        await read_new_screen(indexed.context, frame_id)
    assert await texts_read(indexed) == [False, True]


async def test_two_that_want_a_picture_at_once_have_it_read_once(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, read = reading.open_screen_text_engine(indexed.context.settings), list[int]()

    class Counting:
        def read(self, picture: bytes) -> list[ScreenLine]:
            read.append(len(picture))
            return engine.read(picture)

    monkeypatch.setattr(reading, "open_screen_text_engine", lambda settings: Counting())
    frame_id = await indexed.picture(BUILD, 0)
    await asyncio.gather(*(read_screen(indexed.context, frame_id) for _ in range(3)))
    assert (len(read), await texts_read(indexed)) == (1, [True])


async def test_windows_of_an_index_are_taken_in_their_order_and_one_at_a_time(indexed: Indexed) -> None:
    frame_id = await indexed.picture(BUILD, 0)
    first, second = await indexed.window(0, frame_id), await indexed.window(10, frame_id)
    await clear_jobs(indexed.context)
    async with indexed.context.db.transaction() as other:
        assert await take_turn(other, indexed.index_id)
        await index_window(indexed.context, second)
        assert await indexed.records() == []
    await index_window(indexed.context, second)  # the ring for the first was lost, say
    (record,) = await indexed.records()
    assert record.start_us == AT_US
    assert await jobs_of(indexed.context, "index_window") == [second]
    await index_window(indexed.context, first)
    assert len(await indexed.records()) == 1
    await index_window(indexed.context, second)
    assert len(await indexed.records()) == 2
    assert await jobs_of(indexed.context, "index_window") == [second]


async def test_what_nothing_can_read_is_not_said_to_show_no_text(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Missing:
        def read(self, picture: bytes) -> list[ScreenLine]:
            raise ModelMissing("not installed")

    frame_id = await indexed.picture(BUILD, 0)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "open_screen_text_engine", lambda settings: Missing())
        await index_window(indexed.context, await indexed.window(0, frame_id))
    await index_window(indexed.context, await indexed.window(10, frame_id))  # it was installed meanwhile
    unread, read = await indexed.records()
    assert unread.text == "The screen has not been read."
    assert read.text.startswith("The screen still shows “Terminal")

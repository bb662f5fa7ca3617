import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.base.ids import utc_now
from app.domain.exports.mixing import claim_window, mixed_windows, plan_windows
from app.domain.exports.models import MixWindow
from app.domain.streams.recording import MIX_DELAY_US
from app.media.recorded import RecordedTrack
from app.media.windows import WINDOW_US, window_at
from app.process import Context
from tests.fixtures.factories import Tenant, clear_jobs, jobs_of, make_active, make_tenant
from tests.fixtures.media import START_US, beeps, opus_packets, record, tone
from tests.fixtures.recorded_sessions import store_segment, store_track
from workers.tasks.mix_sound import mix_sound, mix_windows

FIRST = window_at(START_US)
BEGINS_US = START_US + 20_000_000  # twelve seconds of sound in the first window


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture(scope="module")
def mic(tmp_path_factory: pytest.TempPathFactory) -> RecordedTrack:
    """Sound from twelve seconds before the end of the first window to the middle of the third."""
    return record(opus_packets(beeps(60.0), started_at_us=BEGINS_US), tmp_path_factory.mktemp("mic"), "mic")


async def windows_of(context: Context, session_id: str) -> dict[int, str]:
    async with context.db.transaction() as session:
        return await mixed_windows(session, session_id)


async def planned(context: Context, session_id: str, *, whole: bool) -> list[int]:
    async with context.db.transaction() as session:
        return [window.number for window in await plan_windows(session, session_id, whole=whole)]


async def test_a_window_is_rung_for_and_made_once_its_sound_is_there(
    context: Context, tenant: Tenant, mic: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant, ("mic", "system_audio"))
    due_at_us = {
        number: START_US + (number - FIRST + 1) * WINDOW_US + MIX_DELAY_US for number in (FIRST, FIRST + 1)
    }
    for segment in mic.segments:
        await clear_jobs(context)
        await store_segment(context, tenant, streams["mic:default"], segment)
        rung = any(segment.started_at_us < due <= segment.ended_at_us for due in due_at_us.values())
        assert await jobs_of(context, "mix_sound") == [session_id] * rung
        await mix_sound(context, session_id)
        made = await windows_of(context, session_id)
        assert list(made) == [number for number, due in due_at_us.items() if due <= segment.ended_at_us]
    keys = await windows_of(context, session_id)
    await mix_sound(context, session_id)
    assert await windows_of(context, session_id) == keys
    assert await planned(context, session_id, whole=True) == [FIRST + 2]


async def test_runs_at_once_make_each_window_once(
    context: Context, tenant: Tenant, mic: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant)
    await store_track(context, tenant, streams["mic:default"], mic)
    await asyncio.gather(*(mix_sound(context, session_id) for _ in range(4)))
    made = await windows_of(context, session_id)
    assert list(made) == [FIRST, FIRST + 1]
    assert await context.storage.list_keys(f"{tenant.account_id}/mixes/") == list(made.values())


async def test_a_window_in_other_hands_is_left_until_its_lease_is_over(
    context: Context, tenant: Tenant, mic: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant)
    await store_track(context, tenant, streams["mic:default"], mic)
    async with context.db.transaction() as session:
        lease = {"worker": "other", "seconds": 60, "take_over": False}
        assert await claim_window(session, session_id, FIRST, **lease) == {}
    await mix_sound(context, session_id)
    assert await windows_of(context, session_id) == {}
    async with context.db.transaction() as session:
        await session.execute(update(MixWindow).values(leased_until=utc_now()))
    await mix_sound(context, session_id)
    assert list(await windows_of(context, session_id)) == [FIRST, FIRST + 1]


async def test_the_export_takes_a_window_over_and_the_other_run_saves_nothing(
    context: Context, tenant: Tenant, mic: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant)
    await store_track(context, tenant, streams["mic:default"], mic)
    await asyncio.gather(mix_sound(context, session_id), mix_windows(context, session_id, whole=True))
    assert list(await windows_of(context, session_id)) == [FIRST, FIRST + 1, FIRST + 2]
    assert await planned(context, session_id, whole=True) == []
    async with context.db.transaction() as session:
        leased = await session.scalars(select(MixWindow.number).where(MixWindow.leased_by.is_not(None)))
        assert leased.all() == []


async def test_late_sound_makes_only_its_own_windows_again(
    context: Context, tenant: Tenant, mic: RecordedTrack, tmp_path: Path
) -> None:
    session_id, streams = await make_active(context, tenant, ("mic", "system_audio"))
    await store_track(context, tenant, streams["mic:default"], mic)
    await mix_windows(context, session_id, whole=True)
    before = await windows_of(context, session_id)
    late = record(opus_packets(tone(3.0), started_at_us=START_US + WINDOW_US + 10_000_000), tmp_path, "late")
    await store_track(context, tenant, streams["system_audio:default"], late)
    assert await planned(context, session_id, whole=True) == [FIRST + 1]
    await mix_windows(context, session_id, whole=True)
    after = await windows_of(context, session_id)
    assert [number for number in before if before[number] != after[number]] == [FIRST + 1]
    # At the edge of a window its neighbour hears it too, in its margin.
    at_edge = replace(late.segments[0], started_at_us=START_US + WINDOW_US - 3_100_000, duration_us=3_000_000)
    await store_segment(context, tenant, streams["system_audio:default"], at_edge)
    assert await planned(context, session_id, whole=True) == [FIRST, FIRST + 1]


async def test_a_hundred_windows_in_only_the_newest_windows_are_looked_at(
    context: Context, tenant: Tenant, mic: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant)
    for later_us in (0, 100 * WINDOW_US):
        for segment in mic.segments:
            await store_segment(context, tenant, streams["mic:default"], segment, later_us=later_us)
    hour = window_at(BEGINS_US + 100 * WINDOW_US)
    newest = await planned(context, session_id, whole=False)
    assert newest == [hour, hour + 1]
    assert await planned(context, session_id, whole=True) == [FIRST, FIRST + 1, FIRST + 2, *newest, hour + 2]

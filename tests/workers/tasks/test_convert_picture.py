import asyncio
from dataclasses import replace
from pathlib import Path

import av
import pytest
from sqlalchemy import select, update

from app.base.ids import utc_now
from app.domain.exports.converting import claim_run, converted_runs, plan_runs
from app.domain.exports.models import ConvertedRun
from app.domain.streams.models import Segment
from app.media.recorded import RecordedTrack
from app.process import Context
from tests.fixtures.factories import Tenant, clear_jobs, jobs_of, make_active, make_tenant
from tests.fixtures.media import (
    START_US,
    aac_units,
    beep_seconds,
    beeps,
    flash_seconds,
    h264_frames,
    opus_packets,
    record,
    vp8_frames,
)
from tests.fixtures.recorded_sessions import (
    CHANNELS,
    exported_files,
    make_recorded,
    requested_export,
    stop,
    store_segment,
    store_track,
)
from workers.tasks.convert_picture import convert_picture, convert_pictures
from workers.tasks.run_operation import run_operation
from workers.tasks.tidy_export import tidy_export

DISPLAY = "display:1"


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> RecordedTrack:
    """Three segments of VP8."""
    return record(vp8_frames(seconds=12.0), tmp_path_factory.mktemp("screen"), "display")


async def made(context: Context, session_id: str) -> dict[str, str | None]:
    async with context.db.transaction() as session:
        return {
            run.segment_id: run.storage_key for run in (await converted_runs(session, session_id)).values()
        }


async def test_vp8_of_the_primary_display_is_made_h264_as_it_is_recorded(
    context: Context, tenant: Tenant, screen: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant, ("mic", "display:1", "display:2"))
    names = [name for name in streams if name.startswith("display")]
    for name in names:
        for segment in screen.segments:
            await clear_jobs(context)
            await store_segment(context, tenant, streams[name], segment)
            assert await jobs_of(context, "convert_picture") == [session_id] * (name == DISPLAY)
            await convert_picture(context, session_id)
    first = await made(context, session_id)
    assert len(first) == 3
    await convert_picture(context, session_id)
    assert await made(context, session_id) == first
    # The other display waits for the export.
    await convert_pictures(context, session_id)
    assert len(await made(context, session_id)) == 6
    assert (await made(context, session_id)).items() > first.items()


async def test_one_run_is_made_at_a_time_and_each_once(
    context: Context, tenant: Tenant, screen: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant, CHANNELS)
    await store_track(context, tenant, streams[DISPLAY], screen)
    await asyncio.gather(*(convert_picture(context, session_id) for _ in range(4)))
    keys = await context.storage.list_keys(f"{tenant.account_id}/conversions/")
    assert sorted(filter(None, (await made(context, session_id)).values())) == keys
    assert len(keys) == 3


async def test_what_another_worker_makes_is_left_to_it_until_its_lease_is_over(
    context: Context, tenant: Tenant, screen: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant, CHANNELS)
    await store_track(context, tenant, streams[DISPLAY], screen)
    async with context.db.transaction() as session:
        first = (await plan_runs(session, session_id, whole=False))[0]
        assert await claim_run(session, session_id, first, worker="other", seconds=60, take_over=False)
    await convert_picture(context, session_id)
    assert len(await made(context, session_id)) == 2
    async with context.db.transaction() as session:
        await session.execute(update(ConvertedRun).values(leased_until=utc_now()))
    await convert_picture(context, session_id)
    assert len(await made(context, session_id)) == 3


async def test_segments_that_begin_without_a_key_frame_wait_for_the_export(
    context: Context, tenant: Tenant, screen: RecordedTrack
) -> None:
    session_id, streams = await make_active(context, tenant, CHANNELS)
    for segment in screen.segments[:2]:
        await store_segment(context, tenant, streams[DISPLAY], segment)
    await convert_picture(context, session_id)
    last = await store_segment(context, tenant, streams[DISPLAY], screen.segments[2])
    async with context.db.transaction() as session:
        await session.execute(update(Segment).where(Segment.id == last).values(starts_with_keyframe=False))
    before = await made(context, session_id)
    await convert_picture(context, session_id)
    assert await made(context, session_id) == before
    await convert_pictures(context, session_id)
    after = await made(context, session_id)
    assert len(after) == 2
    assert len(set(after.items()) - set(before.items())) == 1  # the run that has grown


async def test_an_export_copies_what_was_converted_and_leaves_nothing_of_it(
    context: Context, tenant: Tenant, screen: RecordedTrack, tmp_path: Path
) -> None:
    session_id, streams = await make_active(context, tenant, CHANNELS)
    sound = record(opus_packets(beeps(12.0)), tmp_path, "mic")
    await store_track(context, tenant, streams["mic:default"], sound)
    await store_track(context, tenant, streams[DISPLAY], screen)
    await convert_picture(context, session_id)
    before = await made(context, session_id)
    await stop(context, session_id, streams)
    await run_operation(context, (await requested_export(context, tenant, session_id)).id)
    assert await made(context, session_id) == before
    files = await exported_files(context, session_id)
    flashes = flash_seconds(files["whole"])
    assert len(flashes) == 12
    assert beep_seconds(files["whole"]) == pytest.approx(flashes, abs=0.04)
    assert flash_seconds(files[DISPLAY]) == flashes
    await tidy_export(context, session_id)
    assert await context.storage.list_keys(f"{tenant.account_id}/conversions/") == []
    async with context.db.transaction() as session:
        assert (await session.scalars(select(ConvertedRun))).all() == []
    assert list((context.settings.data_dir / "scratch").iterdir()) == []


async def test_a_session_whose_codecs_change_is_exported(
    context: Context, tenant: Tenant, tmp_path: Path
) -> None:
    later_us = START_US + 4_000_000
    tracks = {
        DISPLAY: (h264_frames(seconds=4.0), vp8_frames(seconds=4.0, started_at_us=later_us)),
        "mic:default": (opus_packets(beeps(4.0)), aac_units(beeps(4.0), started_at_us=later_us)),
    }
    recorded = {
        name: RecordedTrack(
            [
                segment
                for number, frames in enumerate(runs)
                for segment in record(frames, tmp_path, f"{name[:3]}-{number}").segments
            ]
        )
        for name, runs in tracks.items()
    }
    # A segment in which nothing can be decoded is left out.
    broken = tmp_path / "broken.webm"
    broken.write_bytes(b"no media")
    last = recorded[DISPLAY].segments[-1]
    lost = replace(last, path=broken, started_at_us=last.ended_at_us)
    recorded[DISPLAY] = RecordedTrack([*recorded[DISPLAY].segments, lost])
    session_id, _ = await make_recorded(context, tenant, recorded)
    await run_operation(context, (await requested_export(context, tenant, session_id)).id)
    files = await exported_files(context, session_id)
    flashes = flash_seconds(files["whole"])
    assert len(flashes) == 8
    assert beep_seconds(files["whole"]) == pytest.approx(flashes, abs=0.04)
    assert beep_seconds(files["mic:default"]) == pytest.approx(flashes, abs=0.04)
    with av.open(str(files[DISPLAY])) as container:
        assert len(list(container.decode(video=0))) == 120

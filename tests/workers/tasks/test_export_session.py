import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import av
import pytest

from app.base.settings import Settings
from app.domain.assets.models import Asset
from app.domain.exports.mixing import mixed_windows
from app.media.frames import Codec
from app.media.recorded import RecordedTrack
from app.process import Context
from tests.fixtures.doomed_worker import POINTS
from tests.fixtures.factories import (
    Tenant,
    events_of,
    jobs_of,
    make_active,
    make_tenant,
    status_of,
)
from tests.fixtures.media import START_US, beep_seconds, flash_seconds
from tests.fixtures.recorded_sessions import (
    CHANNELS,
    assets_of,
    exported_files,
    make_recorded,
    recorded_tracks,
    requested_export,
    stop,
    store_track,
)
from workers.tasks.mix_sound import mix_sound
from workers.tasks.run_operation import run_operation
from workers.tasks.scratch import scratch_folder
from workers.tasks.tidy_export import tidy_export

SYNC_SECONDS = 0.04
LEASE_SECONDS = 1.0


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RecordedTrack]:
    """Ten seconds of three channels, over the edge of a window of the mix."""
    folder = tmp_path_factory.mktemp("tracks")
    return recorded_tracks(folder, seconds=10.0, started_at_us=START_US - 4_000_000)


async def objects(context: Context, tenant: Tenant, kind: str) -> set[str]:
    return set(await context.storage.list_keys(f"{tenant.account_id}/{kind}/"))


def kept_keys(assets: dict[str, Asset]) -> set[str]:
    return {key for asset in assets.values() for key in (asset.storage_key, asset.thumbnail_key) if key}


async def test_an_export_is_in_step_and_every_file_counts_from_one_zero(
    context: Context, tenant: Tenant, tracks: dict[str, RecordedTrack]
) -> None:
    session_id, _ = await make_recorded(context, tenant, tracks)
    operation = await requested_export(context, tenant, session_id)
    await run_operation(context, operation.id)
    assets = await assets_of(context, session_id)
    paths = await exported_files(context, session_id)
    flashes, heard = flash_seconds(paths["whole"]), beep_seconds(paths["whole"])
    whole, halves = heard[0::2], heard[1::2]
    for flash, one, other in zip(flashes, whole, halves, strict=True):
        assert abs(flash - one) < SYNC_SECONDS
        assert abs(flash + 0.5 - other) < SYNC_SECONDS
    assert flash_seconds(paths["display:1"]) == flashes
    assert len({asset.started_at_us for asset in assets.values()}) == 1
    for name, begins in (("mic:default", flashes[0]), ("system_audio:default", flashes[0] + 0.5)):
        with av.open(str(paths[name])) as container:
            assert container.streams[0].codec_context.name == "opus"
            first = next(
                frame.time for frame in container.decode(audio=0) if abs(frame.to_ndarray()).max() > 0.1
            )
        assert first == pytest.approx(begins, abs=SYNC_SECONDS)


async def test_what_was_mixed_while_recording_is_not_mixed_again(
    context: Context, tenant: Tenant, tmp_path: Path
) -> None:
    long = recorded_tracks(tmp_path, seconds=50.0, started_at_us=START_US + 64_000)
    session_id, streams = await make_active(context, tenant, CHANNELS)
    for name, track in long.items():
        await store_track(context, tenant, streams[name], track)
    await mix_sound(context, session_id)
    mixed = await objects(context, tenant, "mixes")
    assert len(mixed) == 1
    await stop(context, session_id, streams)
    operation = await requested_export(context, tenant, session_id)
    await run_operation(context, operation.id)
    assert await objects(context, tenant, "mixes") > mixed
    async with context.db.transaction() as session:
        assert mixed < set((await mixed_windows(session, session_id)).values())
    assert session_id in await jobs_of(context, "tidy_export")
    await mix_sound(context, session_id)  # a ring that comes late
    await tidy_export(context, session_id)
    assert await objects(context, tenant, "mixes") == set()
    assert await objects(context, tenant, "assets") == kept_keys(await assets_of(context, session_id))


async def test_an_export_under_way_is_not_tidied(
    context: Context, tenant: Tenant, tracks: dict[str, RecordedTrack]
) -> None:
    session_id, streams = await make_active(context, tenant)
    await store_track(context, tenant, streams["mic:default"], tracks["mic:default"])
    await stop(context, session_id, streams)
    await context.storage.put_bytes(f"{tenant.account_id}/mixes/{session_id}/win-1.m4a", b"sound")
    await tidy_export(context, session_id)
    assert await objects(context, tenant, "mixes")


@pytest.mark.slow
async def test_a_killed_export_is_taken_over_and_leaves_nothing_behind(
    context: Context, settings: Settings, tenant: Tenant, tmp_path: Path
) -> None:
    """Kill -9 at each point of an export: it is exported once, with one set of files."""
    tracks = recorded_tracks(tmp_path, seconds=10.0, started_at_us=START_US - 4_000_000, display=Codec.VP8)
    turns = asyncio.Semaphore(2)
    strays = await asyncio.gather(
        *(killed_at(point, context, settings, tenant, tracks, turns) for point in POINTS)
    )
    assert sum(strays) >= 5
    async with scratch_folder(context) as folder:
        assert list(folder.parent.iterdir()) == [folder]


async def killed_at(
    point: str,
    context: Context,
    settings: Settings,
    tenant: Tenant,
    tracks: dict[str, RecordedTrack],
    turns: asyncio.Semaphore,
) -> int:
    """Kill an export at a point and let another worker go on; returns how many strays were tidied."""
    session_id, _ = await make_recorded(context, tenant, tracks)
    operation = await requested_export(context, tenant, session_id)
    environment = os.environ | {
        "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "",
        "CAPTURE_DATA_DIR": str(settings.data_dir),
        "CAPTURE_EXPORT_LEASE_SECONDS": str(LEASE_SECONDS),
        "CAPTURE_SECRET_KEY": "test-secret",
    }
    async with turns:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fixtures.doomed_worker", operation.id, point, env=environment
        )
        assert await asyncio.wait_for(worker.wait(), 60) == -signal.SIGKILL, point
        deadline = time.monotonic() + 30
        while await status_of(context, session_id) != "exported":
            assert time.monotonic() < deadline, f"not recovered from a kill at: {point}"
            await run_operation(context, operation.id)
            await asyncio.sleep(0.1)
    await run_operation(context, operation.id)
    told = [event.name for event in await events_of(context, session_id)]
    assert told.count("capture_session.exported") == 1
    assets = await assets_of(context, session_id)
    assert set(assets) == {"whole", *tracks}
    prefixes = [f"{tenant.account_id}/assets/{asset.id}/" for asset in assets.values()]
    made = {key for prefix in prefixes for key in await context.storage.list_keys(prefix)}
    kept = kept_keys(assets)
    assert kept <= made
    await tidy_export(context, session_id)
    left = {key for prefix in prefixes for key in await context.storage.list_keys(prefix)}
    assert left == kept
    for kind in ("mixes", "conversions"):
        assert await context.storage.list_keys(f"{tenant.account_id}/{kind}/{session_id}/") == []
    return len(made - kept)

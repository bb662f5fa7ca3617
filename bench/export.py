"""How long after its stop a session is exported, beside an export that begins its work then.

A session of 720p15 H.264 at 1.2 Mbit/s, or of VP8, and two Opus tracks is written as if it had been recorded:
some seconds of each are encoded, and their segments stored again and again along the session's clock. The
worker's own tasks mix each window once its sound is there, and make H.264 of VP8. What is measured runs from
the stop to `exported`: the request, the operation under its lease, storage with its flushes, the transaction.
The baseline makes the same files of the same segments after the stop, each in one pass, its sound decoded,
mixed and encoded, and its VP8 decoded and encoded.

    python -m bench.export [--display h264|vp8] [--minutes M] [--goal SECONDS]
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from app.base.settings import Settings
from app.domain.exports.service import plan_export
from app.embedded.postgres import running_postgres
from app.media.frames import Codec, EncodedFrame
from app.media.hls import index_fragments
from app.media.recorded import RecordedSegment, RecordedTrack
from app.media.thumbnail import first_picture
from app.process import Context, open_context
from bench.one_pass import export_in_one_pass
from tests.fixtures.factories import Tenant, make_active, make_tenant, status_of
from tests.fixtures.media import opus_packets, read_speech, record, video_frames
from tests.fixtures.recorded_sessions import CHANNELS, requested_export, stop, store_segment
from tests.fixtures.servers import migrate
from workers.tasks.convert_picture import convert_picture
from workers.tasks.local_tracks import local_track
from workers.tasks.mix_sound import mix_sound
from workers.tasks.run_operation import run_operation

LOOP_SECONDS = 40
PICTURE_BYTES = 10_000  # at 15 a second 1.2 Mbit/s
GOAL_SECONDS = 10.0
NO_REDIS = "redis://127.0.0.1:1/0"  # a context needs a URL; no task of these ever asks there


def recorded_loop(folder: Path, display: Codec) -> dict[str, RecordedTrack]:
    """`LOOP_SECONDS` of each channel, by its stream's name."""
    speech = read_speech("two_cities.wav", rate_hz=48_000)[: LOOP_SECONDS * 48_000]
    pictures = video_frames(
        display, seconds=LOOP_SECONDS, width=1280, height=720, frames_per_second=15, keyframe_seconds=4.0
    )
    if display is Codec.H264:
        pictures = [filled(frame) for frame in pictures]
    frames = {
        "mic:default": opus_packets(speech)[: LOOP_SECONDS * 50],
        "system_audio:default": opus_packets(speech[::-1].copy())[: LOOP_SECONDS * 50],
        "display:1": pictures,
    }
    return {name: record(found, folder, name[:3]) for name, found in frames.items()}


def filled(frame: EncodedFrame) -> EncodedFrame:
    """The frame with filler data (ITU-T H.264 clause 7.3.2.7) up to the size of a screen's in use."""
    filler = b"\x00\x00\x00\x01\x0c" + b"\xff" * max(PICTURE_BYTES - len(frame.data), 0) + b"\x80"
    return frame._replace(data=frame.data + filler)


async def record_session(
    context: Context, tenant: Tenant, loop: dict[str, RecordedTrack], minutes: float
) -> tuple[str, float]:
    """Record a session, mix and convert as it goes; returns its id, and the CPU seconds that it took."""
    session_id, streams = await make_active(context, tenant, CHANNELS)
    working_seconds = 0.0
    for number in range(round(minutes * 60 / LOOP_SECONDS)):
        for name, segment in in_time_order(loop):
            later_us = number * LOOP_SECONDS * 1_000_000
            await store_segment(context, tenant, streams[name], segment, later_us=later_us)
            began = time.process_time()
            if segment.codec is Codec.VP8:
                await convert_picture(context, session_id)
            working_seconds += time.process_time() - began
        began = time.process_time()
        await mix_sound(context, session_id)
        working_seconds += time.process_time() - began
    await stop(context, session_id, streams)
    return session_id, working_seconds


def in_time_order(loop: dict[str, RecordedTrack]) -> Iterator[tuple[str, RecordedSegment]]:
    """The segments of all channels as they come to be stored."""
    found = [(name, segment) for name, track in loop.items() for segment in track.segments]
    yield from sorted(found, key=lambda one: one[1].ended_at_us)


async def export_as_the_worker_does(context: Context, tenant: Tenant, session_id: str) -> float:
    """Export the stopped session; returns the seconds from its stop to `exported`."""
    began = time.monotonic()
    operation = await requested_export(context, tenant, session_id)
    await run_operation(context, operation.id)
    assert await status_of(context, session_id) == "exported"
    return time.monotonic() - began


async def export_by_the_baseline(context: Context, session_id: str, folder: Path) -> float:
    """Make the files of the session again in one pass each; returns the seconds that it took."""
    began = time.monotonic()
    async with context.db.transaction() as session:
        plan = await plan_export(session, session_id)
    async with AsyncExitStack() as stack:
        tracks = [(track, await local_track(context, stack, track.segments)) for track in plan.tracks]
        picture = next(local for track, local in tracks if track.media_type == "video")
        sounds = [local for track, local in tracks if track.media_type == "audio"]
        for number, (video, audio) in enumerate(
            [(picture, sounds), (picture, []), *((None, [s]) for s in sounds)]
        ):
            target = folder / f"{number}.mp4"
            times = {"zero_us": plan.zero_us, "ends_at_us": plan.ends_at_us}
            await asyncio.to_thread(export_in_one_pass, video, audio, target, **times)
            index_fragments(target)
            if video:
                first_picture(target)
            await context.storage.put_file(f"baseline/{number}.mp4", target)
    return time.monotonic() - began


async def measure(minutes: float, display: Codec, folder: Path, database_url: str) -> tuple[float, float]:
    """Print what each export took; returns the seconds of ours and of the baseline."""
    settings = Settings(database_url=database_url, redis_url=NO_REDIS, data_dir=folder, secret_key="bench")
    context = open_context(settings)
    try:
        tenant = await make_tenant(context)
        loop = recorded_loop(folder, display)
        session_id, working = await record_session(context, tenant, loop, minutes)
        began = time.process_time()
        ours = await export_as_the_worker_does(context, tenant, session_id)
        worked = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"exported {ours:.2f} s after its stop, {worked:.2f} s of a core", flush=True)
        began = time.process_time()
        baseline = await export_by_the_baseline(context, session_id, folder)
        baseline_worked = time.process_time() - began
    finally:
        await context.close()
    print(f"session: {minutes:g} min of 720p15 {display} and two Opus tracks; four files")
    print(f"{'':<36} {'seconds':>8} {'CPU-s':>8} {'peak MB':>8}")
    print(f"{'one pass after the stop':<36} {baseline:>8.2f} {baseline_worked:>8.2f}")
    print(f"{'OpenCapture, made while recording':<36} {ours:>8.2f} {worked:>8.2f} {peak:>8.0f}")
    print(f"work while recording took {working / minutes / 60:.4f} s of a core for each second recorded")
    return ours, baseline


def main() -> int:
    """Exit status 0 where the goal is met, 1 where not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--display", type=Codec, choices=[Codec.H264, Codec.VP8], default=Codec.H264)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--goal", type=float, default=GOAL_SECONDS, help="seconds from stop to exported")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="capture-bench-") as name, running_postgres(Path(name)) as url:
        migrate(url)
        ours, baseline = asyncio.run(measure(options.minutes, options.display, Path(name), url))
    met = ours <= options.goal
    print(f"{baseline / ours:.1f} times sooner; goal {options.goal:g} s: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

"""A clip's sound at its place on the timeline, with its volume, fades and silences."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from app.media.editor.timeline import AudioAsset, PlacedClip, VideoAsset
from app.media.sound import RATE_HZ, Block


def clip_sound(placed: PlacedClip, path: Path) -> Iterator[tuple[int, Block]]:
    """Yield the clip's sound as `sound.Sound` takes it."""
    asset = placed.clip.asset
    assert isinstance(asset, VideoAsset | AudioAsset)
    first = round(placed.start_seconds * RATE_HZ)
    end = round(placed.end_seconds * RATE_HZ)
    position = first
    with av.open(str(path)) as container:
        zero_seconds = (container.start_time or 0) / 1_000_000
        offset_seconds = placed.start_seconds - asset.start - zero_seconds
        if asset.start > 0:
            container.seek(int((zero_seconds + asset.start) * 1_000_000))
        stream = container.streams.audio[0]
        layout = "mono" if stream.channels == 1 else "stereo"
        resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE_HZ)
        for frame in _audio_frames(container, stream):
            begins = round(((frame.time or 0.0) + offset_seconds) * RATE_HZ)
            for part in resampler.resample(frame):
                # Mono goes to both sides at full level, where FFmpeg's own mix would halve its power.
                channels = np.asarray(part.to_ndarray(), np.float32)
                samples = np.repeat(channels, 2, axis=0).T if len(channels) == 1 else channels.T
                # What comes within a frame of the last sample follows on it: times are rounded.
                at = position if abs(begins - position) <= len(samples) and position > first else begins
                skip = max(position - at, 0)
                samples, at = samples[skip : max(end - at, 0)], at + skip
                if len(samples):
                    yield at, samples * _gain(placed, asset.volume, at, len(samples))
                    position = at + len(samples)
                begins += len(channels[0])
            if position >= end:
                return


def _gain(placed: PlacedClip, volume: float, at: int, count: int) -> Block:
    """What each sample from `at` on is multiplied by, as a column."""
    gain = np.full((count, 1), volume, np.float32)
    begin, end = at / RATE_HZ, (at + count) / RATE_HZ
    fades = (placed.fade_in_seconds, placed.fade_out_seconds)
    if begin < placed.start_seconds + fades[0] or end > placed.end_seconds - fades[1]:
        times = at / RATE_HZ + np.arange(count) / RATE_HZ
        for fade, passed in zip(
            fades, (times - placed.start_seconds, placed.end_seconds - times), strict=True
        ):
            if fade > 0:
                gain[:, 0] *= np.clip(passed / fade, 0, 1).astype(np.float32)
    for start, stop in placed.muted:
        quiet = (round(start * RATE_HZ) - at, round(stop * RATE_HZ) - at)
        gain[max(quiet[0], 0) : max(quiet[1], 0)] = 0
    return gain


def _audio_frames(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue

"""Speech as samples: from packets and media files, cut at pauses, and packed for storage."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from app.base.errors import Unprocessable
from app.media.hearing import SpeechDecoder, open_speech_decoder
from app.media.samples import NO_SAMPLES, SAMPLE_RATE_HZ, Samples
from app.media.speech import SpeechDetector
from app.media.utterances import Speaking, Utterance, UtteranceCutter

__all__ = [
    "SAMPLE_RATE_HZ",
    "Samples",
    "Speaking",
    "SpeechDecoder",
    "SpeechDetector",
    "Utterance",
    "UtteranceCutter",
    "decode_audio_file",
    "decode_speech",
    "encode_speech",
    "from_16_bits",
    "in_16_bits",
    "open_speech_decoder",
]

_JITTER_SAMPLES = SAMPLE_RATE_HZ // 20


def in_16_bits(samples: Samples) -> NDArray[np.int16]:
    """The samples as they are kept; what exceeds full scale is clipped."""
    return np.clip(np.rint(samples * 32_767), -32_768, 32_767).astype(np.int16)


def from_16_bits(whole: NDArray[np.int16]) -> Samples:
    """The inverse of `in_16_bits`."""
    return np.asarray(whole, np.float32) / np.float32(32_767)


def encode_speech(samples: Samples) -> bytes:
    """Pack float32 mono 16 kHz samples as FLAC with 16 bits; what exceeds full scale is clipped."""
    whole = in_16_bits(samples)
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE_HZ, layout="mono", format="s16")
        if len(whole):
            frame = av.AudioFrame.from_ndarray(whole[None, :], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def decode_speech(data: bytes) -> Samples:
    """Unpack what `encode_speech` made. Raises `Unprocessable` for anything else."""
    if not data.startswith(b"fLaC"):
        raise Unprocessable("The stored speech cannot be read.")
    try:
        with av.open(io.BytesIO(data), "r", format="flac") as container:
            parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    except (av.FFmpegError, IndexError) as error:
        raise Unprocessable("The stored speech cannot be read.") from error
    if not parts:
        return NO_SAMPLES
    return from_16_bits(np.concatenate(parts))


def decode_audio_file(path: Path, *, block_seconds: float = 1.0) -> Iterator[Samples]:
    """Yield the sound of any media file as float32 mono 16 kHz, in blocks of about `block_seconds`.

    The first sample is the file's time zero: silence stands where it has none. A damaged part is left out.
    Raises `Unprocessable` for a file that has no sound.
    """
    block_samples = round(block_seconds * SAMPLE_RATE_HZ)
    waiting, length = [], 0
    for part in _placed(path):
        waiting.append(part)
        length += len(part)
        if length >= block_samples:
            yield np.concatenate(waiting)
            waiting, length = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _placed(path: Path) -> Iterator[Samples]:
    given = 0
    for seconds, part in _resampled(path):
        missing = round(seconds * SAMPLE_RATE_HZ) - given
        while missing > _JITTER_SAMPLES:
            silence = np.zeros(min(missing, SAMPLE_RATE_HZ), np.float32)
            yield silence
            given += len(silence)
            missing -= len(silence)
        yield part
        given += len(part)


def _resampled(path: Path) -> Iterator[tuple[float, Samples]]:
    """Yield the file's sound with the time, in seconds, at which each part begins."""
    try:
        container = av.open(str(path))
    except av.FFmpegError as error:
        raise Unprocessable("The media file cannot be read.") from error
    with container:
        if not container.streams.audio:
            raise Unprocessable("The media file has no sound.")
        stream = container.streams.audio[0]
        # Channels are averaged here: FFmpeg's own mix to mono adds 3 dB and would clip.
        resampler = av.AudioResampler(format="fltp", layout=stream.layout.name, rate=SAMPLE_RATE_HZ)
        at = 0.0
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                at = frame.time if frame.time is not None else at
                for part in resampler.resample(frame):
                    yield at, np.asarray(part.to_ndarray(), np.float32).mean(axis=0)
        for part in resampler.resample(None):
            yield at, np.asarray(part.to_ndarray(), np.float32).mean(axis=0)

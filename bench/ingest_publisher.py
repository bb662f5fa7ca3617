"""Bench child: publishes sessions of one encoded screen and two encoded sounds, encoded once beforehand."""

import asyncio
from fractions import Fraction

import av
import numpy as np

from app.media.frames import Codec, EncodedFrame
from bench.child import Command, serve
from tests.fixtures.media import opus_packets, tone
from tests.fixtures.publisher import EncodedTrack, Publisher

WIDTH, HEIGHT, FRAMES_PER_SECOND, BITS_PER_SECOND = 1280, 720, 15, 1_200_000
PERIOD_SECONDS, KEYFRAME_SECONDS = 8, 4


def encode_screen() -> list[EncodedFrame]:
    """A page of text-like blocks that scrolls: 720p15 H.264 of about 1.2 Mbit/s."""
    dice = np.random.default_rng(5)
    page = np.kron(dice.integers(0, 2, (HEIGHT // 4, WIDTH // 4), dtype=np.uint8) * 180 + 40, np.ones((8, 4)))
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 90_000), Fraction(FRAMES_PER_SECOND)
    encoder.bit_rate, encoder.gop_size = BITS_PER_SECOND, FRAMES_PER_SECOND * KEYFRAME_SECONDS
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "maxrate": str(BITS_PER_SECOND),
        "bufsize": str(BITS_PER_SECOND),
        "sc_threshold": "0",
    }
    frames = []
    for n in range(FRAMES_PER_SECOND * PERIOD_SECONDS):
        grey = page[n * 2 : n * 2 + HEIGHT].astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2), format="rgb24")
        frame.pts, frame.time_base = n * 90_000 // FRAMES_PER_SECOND, Fraction(1, 90_000)
        (packet,) = encoder.encode(frame)
        frames.append(EncodedFrame(Codec.H264, bytes(packet), frame.pts, 0, packet.is_keyframe))
    return frames


async def main() -> None:
    """Answer `offers` (for so many sessions), `accept` and `close`."""
    screen, sound = encode_screen(), opus_packets(tone(PERIOD_SECONDS))
    publishers: list[Publisher] = []

    async def offers(command: Command) -> list[dict[str, str]]:
        made = []
        for _ in range(command["sessions"]):
            for frames in (screen, sound, sound):
                publisher = Publisher(EncodedTrack(frames, PERIOD_SECONDS))
                publishers.append(publisher)
                made.append({"kind": publisher.track.kind, "sdp": await publisher.offer()})
        return made

    async def accept(command: Command) -> None:
        for publisher, answer in zip(publishers, command["answers"], strict=True):
            await publisher.accept(answer)

    async def close(command: Command) -> None:
        await asyncio.gather(*(publisher.close() for publisher in publishers))
        publishers.clear()

    await serve({"offers": offers, "accept": accept, "close": close})


if __name__ == "__main__":
    asyncio.run(main())

"""Real publishers on real sockets: ICE, DTLS, SRTP and every packet in between."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import aioice
import av
import numpy as np
import pytest
from aiortc.rtcdtlstransport import RTCCertificate, generate_certificate
from cryptography.hazmat.primitives.asymmetric import rsa

from app.ingest.whip.fragment import IceFragment
from app.ingest.whip.media_port import MediaPort, open_media_port
from app.ingest.whip.offer import OfferRefused, read_offer
from app.ingest.whip.peer import WhipPeer, WhipTrack, answer_offer
from app.media.frames import Codec, EncodedFrame
from tests.fixtures.publisher import AudioTrack, Impairment, Publisher, VideoTrack

LIMIT_SECONDS = 60.0
FRAME_TICKS = 6000  # 15 frames a second


@asynccontextmanager
async def published(publisher: Publisher, *, silence_seconds: float = 10.0) -> AsyncIterator[WhipPeer]:
    offer = await publisher.offer()
    async with open_media_port() as port:
        peer = await answer_offer(
            read_offer(offer, (publisher.track.kind,)),  # type: ignore[arg-type]
            port=port,
            silence_seconds=silence_seconds,
        )
        try:
            await publisher.accept(peer.answer_sdp)
            yield peer
        finally:
            await publisher.close()
            await peer.close()


async def take(peer: WhipPeer, count: int) -> list[EncodedFrame]:
    return await take_of(peer.tracks[0], count)


_readers: "WeakKeyDictionary[WhipTrack, AsyncIterator[EncodedFrame]]" = WeakKeyDictionary()


async def take_of(track: WhipTrack, count: int) -> list[EncodedFrame]:
    """The next frames, by the track's one reader."""
    reader = _readers.setdefault(track, track.frames())
    frames: list[EncodedFrame] = []
    while len(frames) < count and (frame := await anext(reader, None)) is not None:
        frames.append(frame)
    return frames


def run(scenario: Callable[[], Awaitable[object]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            await scenario()

    asyncio.run(bounded())


def run_on_a_port(scenario: Callable[[MediaPort], Awaitable[object]]) -> None:
    async def with_port() -> None:
        async with open_media_port() as port:
            await scenario(port)
            assert len(port.routes) == 0

    run(with_port)


def decode_video(frames: list[EncodedFrame]) -> list[tuple[int, float]]:
    """Decode every frame strictly; return each picture's wall clock and mean brightness."""
    name = "h264" if frames[0].codec is Codec.H264 else "vp8"
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.options = {"err_detect": "explode"}
    decoder.thread_count = 1
    pictures = []
    for frame in [*frames, None]:
        packet = None
        if frame is not None:
            packet = av.Packet(frame.data)
            packet.pts = frame.captured_at_us
        for picture in decoder.decode(packet):
            assert not picture.is_corrupt
            assert picture.pts is not None
            pictures.append((picture.pts, float(picture.to_ndarray(format="gray").mean())))
    return pictures


def decode_audio(frames: list[EncodedFrame]) -> list[tuple[int, np.ndarray]]:
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    return [
        (frame.captured_at_us, block.to_ndarray()[0] / 32768)  # libopus gives 16 bits
        for frame in frames
        for block in decoder.decode(av.Packet(frame.data))
    ]


def flash_phases(frames: list[EncodedFrame]) -> list[float]:
    """Seconds from the whole second, where a picture is taken, to the white picture's wall clock."""
    pictures = decode_video(frames)
    starts = [at for (_, dark), (at, light) in pairwise(pictures) if dark < 200 < light]
    return [(at / 1e6 + 0.5) % 1.0 - 0.5 for at in starts]


def beep_phases(frames: list[EncodedFrame]) -> list[float]:
    """Seconds from the whole second to the onset of each beep."""
    phases = []
    quiet_samples = 0
    for at, samples in decode_audio(frames):
        loud = np.flatnonzero(np.abs(samples) > 0.1)
        if len(loud) and quiet_samples > 12_000:
            phases.append((at / 1e6 + loud[0] / 48_000 + 0.5) % 1.0 - 0.5)
        quiet_samples = 0 if len(loud) else quiet_samples + len(samples)
    return phases


def assert_nothing_undecodable(frames: list[EncodedFrame], frame_ticks: int = FRAME_TICKS) -> None:
    """Each picture but a key frame follows the one that it leans on."""
    assert frames[0].is_keyframe
    for before, after in pairwise(frames):
        complete = after.timestamp - before.timestamp == frame_ticks
        assert complete or (after.is_keyframe and after.after_gap)


def test_frames_arrive_complete_and_decode() -> None:
    async def scenario(codec: Codec) -> None:
        publisher = Publisher(VideoTrack(codec) if codec.is_video else AudioTrack())
        async with published(publisher) as peer:
            assert peer.tracks[0].codec is codec
            frames = await take(peer, 30)
            assert peer.started.is_set()
        assert [frame.codec for frame in frames] == [codec] * 30
        assert not any(frame.after_gap for frame in frames)
        if codec.is_video:
            assert_nothing_undecodable(frames)
            assert len(decode_video(frames)) == 30
        else:
            assert sum(len(samples) for _, samples in decode_audio(frames)) >= 29 * 960
        assert peer.tracks[0].stats.lost == peer.tracks[0].stats.dropped_frames == 0

    run(lambda: asyncio.gather(*map(scenario, (Codec.H264, Codec.VP8, Codec.OPUS))))


def test_sound_and_picture_of_two_connections_started_700_ms_apart_agree() -> None:
    async def scenario(clock_ahead_seconds: float) -> None:
        sound = Publisher(AudioTrack(), clock_ahead_seconds=clock_ahead_seconds)
        picture = Publisher(
            VideoTrack(frames_per_second=30, start_delay_seconds=0.7), clock_ahead_seconds=clock_ahead_seconds
        )
        async with published(sound) as audio, published(picture) as video:
            heard, seen = await asyncio.gather(take(audio, 300), take(video, 165))
        beeps, flashes = beep_phases(heard), flash_phases(seen)
        assert len(beeps) >= 4
        assert len(flashes) >= 4
        assert abs(np.median(flashes) - np.median(beeps)) < 0.040
        if not clock_ahead_seconds:
            assert abs(np.median(beeps)) < 0.040

    run(lambda: asyncio.gather(scenario(0.0), scenario(3600.0)))


def test_loss_and_reordering_leave_nothing_undecodable() -> None:
    async def scenario(rtx: bool) -> None:
        picture_line, sound_line = Impairment(loss=0.05, swap=0.02), Impairment(loss=0.05, swap=0.02, seed=2)
        picture = Publisher(VideoTrack(width=640, height=360), impairment=picture_line, rtx=rtx)
        sound = Publisher(AudioTrack(), impairment=sound_line)
        async with published(picture) as video, published(sound) as audio:
            seen, heard = await asyncio.gather(take(video, 100), take(audio, 400))
        assert picture_line.lost > 0
        assert sound_line.lost > 5
        assert_nothing_undecodable(seen)
        assert len(decode_video(seen)) == len(seen)
        span = heard[-1].timestamp - heard[0].timestamp
        assert (len(heard) - 1) * 960 / span >= 0.98
        assert audio.tracks[0].stats.recovered > 0

    run(lambda: asyncio.gather(scenario(rtx=True), scenario(rtx=False)))


def test_a_requested_key_frame_comes() -> None:
    async def scenario() -> None:
        publisher = Publisher(VideoTrack())
        async with published(publisher) as peer:
            async for frame in peer.tracks[0].frames():
                if not frame.is_keyframe:
                    break
            before = publisher.track.keyframe_requests
            peer.tracks[0].request_keyframe()
            async for frame in peer.tracks[0].frames():
                if frame.is_keyframe:
                    break
            assert publisher.track.keyframe_requests > before
            assert not frame.after_gap

    run(scenario)


def test_a_publisher_that_leaves_ends_the_frames() -> None:
    async def scenario() -> None:
        publisher = Publisher(AudioTrack())
        async with published(publisher) as peer:
            assert len(await take(peer, 10)) == 10
            await publisher.close()
            await peer.closed.wait()
            async for _ in peer.tracks[0].frames():
                pass
            assert "publisher" in peer.close_reason

    run(scenario)


def test_closing_ends_the_frames_and_can_be_repeated() -> None:
    async def scenario() -> None:
        async with published(Publisher(AudioTrack())) as peer:
            await take(peer, 1)
            await asyncio.gather(peer.close(), peer.close())
            await peer.close()
            async for _ in peer.tracks[0].frames():
                pass
            assert peer.closed.is_set()

    run(scenario)


def test_a_publisher_that_falls_silent_is_gone() -> None:
    async def scenario() -> None:
        line = Impairment()
        publisher = Publisher(AudioTrack(), impairment=line, sender_reports=False)
        async with published(publisher, silence_seconds=1.0) as peer:
            await peer.started.wait()
            line.loss = 1.0
            await peer.closed.wait()
            assert peer.close_reason == "nothing arrived for 1 s"
            assert peer.tracks[0].stats.frames > 0

    run(scenario)


def test_an_answer_that_nobody_takes_up_can_be_closed() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        peer = await answer_offer(read_offer(await publisher.offer(), ("audio",)), port=port)
        await peer.close()
        assert await take(peer, 1) == []
        await publisher.close()

    run_on_a_port(scenario)


def test_a_publisher_without_candidates_is_found_by_its_own_checks() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        lines = (await publisher.offer()).splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(("a=candidate", "a=end-of-candidates"))]
        peer = await answer_offer(read_offer("".join(kept), ("audio",)), port=port)
        await publisher.accept(peer.answer_sdp)
        assert len(await take(peer, 5)) == 5
        await publisher.close()
        await peer.close()

    run_on_a_port(scenario)


def test_a_publisher_with_an_rsa_certificate_connects() -> None:
    async def scenario() -> None:
        publisher = Publisher(AudioTrack())
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = RTCCertificate(key=key, cert=generate_certificate(key))  # type: ignore[arg-type]
        transport: Any = publisher._transceiver.sender.transport
        transport._RTCDtlsTransport__local_certificate = certificate
        async with published(publisher) as peer:
            assert len(await take(peer, 5)) == 5

    run(scenario)


def test_sound_and_picture_of_one_connection_agree_under_loss() -> None:
    """One line loses packets of both; each is asked for again, and comes, by its own numbering."""

    async def scenario(port: MediaPort) -> None:
        line = Impairment(loss=0.03, swap=0.02)
        publisher = Publisher(VideoTrack(frames_per_second=30), beside=AudioTrack(), impairment=line)
        offer = read_offer(await publisher.offer(), ("audio", "video"))
        peer = await answer_offer(offer, port=port)
        await publisher.accept(peer.answer_sdp)
        picture, sound = peer.tracks
        assert (picture.kind, sound.kind) == ("video", "audio")
        seen, heard = await asyncio.gather(take_of(picture, 110), take_of(sound, 200))
        assert line.lost > 0
        assert picture.stats.recovered > 0
        assert sound.stats.recovered > 0
        assert (len(heard) - 1) * 960 / (heard[-1].timestamp - heard[0].timestamp) >= 0.98
        assert_nothing_undecodable(seen, 3000)
        assert len(decode_video(seen)) == len(seen)
        assert abs(np.median(flash_phases(seen)) - np.median(beep_phases(heard))) < 0.040
        await sound.close()
        assert not peer.closed.is_set()  # the picture goes on
        assert len(await take_of(picture, 5)) == 5
        await picture.close()
        assert peer.closed.is_set()
        assert len(port.routes) == 0
        await publisher.close()

    run_on_a_port(scenario)


def test_a_publisher_that_restarts_ice_goes_on_over_its_new_path() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        peer = await answer_offer(read_offer(await publisher.offer(), ("audio",)), port=port)
        await publisher.accept(peer.answer_sdp)
        taken = await take(peer, 20)
        first_etag, addresses = peer.etag, len(port.routes)
        again = aioice.Connection(ice_controlling=True)
        await again.gather_candidates()
        fragment = IceFragment(again.local_username, again.local_password, ())
        assert not peer.takes(fragment)
        answer = await peer.restart_ice(fragment)
        assert peer.takes(fragment)
        assert peer.etag != first_etag
        taken += await take(peer, 20)  # over the old path, while the new one is not there
        theirs = dict(re.findall(r"a=ice-(ufrag|pwd):(\S+)", answer))
        assert theirs["ufrag"] not in peer.answer_sdp
        again.remote_username, again.remote_password = theirs["ufrag"], theirs["pwd"]
        for line in re.findall(r"a=candidate:(.*)\r\n", answer):
            await again.add_remote_candidate(aioice.Candidate.from_sdp(line))
        await again.add_remote_candidate(None)
        async with asyncio.timeout(10):
            await again.connect()
        await publisher.move_to(again)
        taken += await take(peer, 50)
        assert all(after.timestamp - before.timestamp == 960 for before, after in pairwise(taken))
        assert peer.tracks[0].stats.lost == 0
        assert len(port.routes) > addresses  # the new path is known beside the old one
        await again.close()
        await publisher.close()
        await peer.close()
        assert len(port.routes) == 0

    run_on_a_port(scenario)


def test_etags_are_strong_and_unique() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        offer = await publisher.offer()
        first, second = (
            await answer_offer(read_offer(offer, ("audio",)), port=port),
            await answer_offer(read_offer(offer, ("audio",)), port=port),
        )
        assert first.etag != second.etag
        assert first.etag.startswith('"')
        assert first.etag.endswith('"')
        await asyncio.gather(first.close(), second.close(), publisher.close())

    run_on_a_port(scenario)


def test_refusing_an_offer_opens_nothing() -> None:
    async def scenario(port: MediaPort) -> None:
        publisher = Publisher(AudioTrack())
        with pytest.raises(OfferRefused, match="takes one video track"):
            await answer_offer(read_offer(await publisher.offer(), ("video",)), port=port)
        await publisher.close()

    run_on_a_port(scenario)

import re
from pathlib import Path

import av
import httpx
import pytest

from app.domain.assets.models import Asset
from app.domain.erasure.service import erase_asset
from app.media.export import ExportedFile
from tests.app.pages.conftest import Library
from tests.fixtures.media import beeps, export_recording, flash_seconds, opus_packets, record

FRAME_SECONDS = 1 / 15


def segments(playlist: str) -> list[tuple[str, int, int]]:
    """Name, offset and length of each media segment."""
    found = re.findall(r"^#EXT-X-BYTERANGE:(\d+)@(\d+)\n(.+)$", playlist, re.MULTILINE)
    return [(name, int(offset), int(length)) for length, offset, name in found]


def decoded(url: str) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"video": [], "audio": []}
    with av.open(url, format="hls", timeout=10.0) as container:
        for frame in container.decode():
            assert frame.time is not None
            times["video" if isinstance(frame, av.VideoFrame) else "audio"].append(frame.time)
    return times


async def test_the_playlist_leads_to_every_byte(
    client: httpx.AsyncClient, video: Asset, recording: tuple[ExportedFile, bytes]
) -> None:
    answer = await client.get(f"/media/{video.playback_slug}/stream.m3u8")
    assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
    whole = recording[1]
    header = re.search(r'#EXT-X-MAP:URI="0.mp4",BYTERANGE="(\d+)@0"', answer.text)
    assert header is not None
    end = int(header[1])
    for name, offset, length in segments(answer.text):
        assert offset == end
        wanted = {"Range": f"bytes={offset}-{offset + length - 1}"}
        part = await client.get(f"/media/{video.playback_slug}/{name}", headers=wanted)
        assert (part.status_code, part.content) == (206, whole[offset : offset + length])
        end = offset + length
    assert len(segments(answer.text)) >= 2


async def test_the_stream_decodes_with_ffmpeg(base_url: str, video: Asset) -> None:
    times = decoded(f"{base_url}/media/{video.playback_slug}/stream.m3u8")
    assert len(times["video"]) == 12 * 15
    # AAC ends on whole frames of 1024 samples: 21 ms.
    assert max(times["audio"]) == pytest.approx(12.0, abs=0.05)


async def test_sound_alone_decodes(base_url: str, library: Library, tmp_path: Path) -> None:
    sound = record(opus_packets(beeps(6.0)), tmp_path, "mic")
    asset = await library.add(export_recording(None, [sound], tmp_path / "out.m4a"))
    times = decoded(f"{base_url}/media/{asset.playback_slug}/stream.m3u8")
    assert not times["video"]
    assert max(times["audio"]) == pytest.approx(6.0, abs=0.05)
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{base_url}/media/{asset.playback_slug}/thumbnail.jpg")
    assert answer.status_code == 404


async def test_a_file_is_sent_by_range(client: httpx.AsyncClient, video: Asset) -> None:
    url = f"/media/{video.playback_slug}/0.mp4"
    whole = await client.get(url)
    size = len(whole.content)
    assert whole.status_code == 200
    assert whole.headers["accept-ranges"] == "bytes"
    assert "content-range" not in whole.headers
    for wanted, first, last in [
        ("0-99", 0, 99),
        ("-10", size - 10, size - 1),
        (f"{size - 5}-", size - 5, size - 1),
    ]:
        part = await client.get(url, headers={"Range": f"bytes={wanted}"})
        assert part.status_code == 206
        assert part.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert part.content == whole.content[first : last + 1]
    behind = await client.get(url, headers={"Range": f"bytes={size}-"})
    assert behind.status_code == 416
    assert behind.headers["content-range"] == f"bytes */{size}"
    assert behind.json()["error_code"] == "range_not_satisfiable"


async def test_head_tells_the_size_and_ignores_a_range(client: httpx.AsyncClient, video: Asset) -> None:
    url = f"/media/{video.playback_slug}/0.mp4"
    size = len((await client.get(url)).content)
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = await client.head(url, headers=headers)
        assert (answer.status_code, answer.headers["content-length"]) == (200, str(size))
        assert answer.headers["content-type"] == "video/mp4"
    for name in ("stream.m3u8", "thumbnail.jpg"):
        answer = await client.head(f"/media/{video.playback_slug}/{name}")
        assert (answer.status_code, answer.content) == (200, b"")


async def test_a_range_of_another_file_is_not_joined(client: httpx.AsyncClient, video: Asset) -> None:
    url = f"/media/{video.playback_slug}/0.mp4"
    etag = (await client.head(url)).headers["etag"]
    same = await client.get(url, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = await client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)


def flashes(url: str) -> list[float]:
    """When the picture of a stream turns white."""
    found, was_white = [], False
    with av.open(url, format="hls", timeout=10.0) as container:
        for frame in container.decode(video=0):
            white = bool(frame.to_ndarray(format="gray").mean() > 200)
            if white and not was_white:
                assert frame.time is not None
                found.append(frame.time)
            was_white = white
    return found


async def test_a_cut_plays_exactly_what_was_asked_for(base_url: str, library: Library, video: Asset) -> None:
    # Key frames are two seconds apart: half a second is encoded anew, 4 s to 6 s lie as they are.
    url = f"{base_url}/media/{await library.cut((video, 3.5, 7.3))}/stream.m3u8"
    times = decoded(url)
    assert times["video"][0] == pytest.approx(3.5, abs=FRAME_SECONDS)
    assert times["video"][-1] == pytest.approx(7.3 - FRAME_SECONDS, abs=FRAME_SECONDS)
    # Every picture of the stretch once, and at the start the one that is shown there.
    assert len(times["video"]) in (57, 58)
    assert times["video"] == sorted(times["video"])
    assert times["audio"][0] == pytest.approx(3.5, abs=0.03)
    assert times["audio"][-1] == pytest.approx(7.3, abs=0.03)
    assert flashes(url) == pytest.approx([4.0, 5.0, 6.0, 7.0], abs=0.03)


async def test_a_cut_within_one_key_frame_is_a_single_clip(
    client: httpx.AsyncClient, base_url: str, library: Library, video: Asset
) -> None:
    slug = await library.cut((video, 4.6, 5.2))
    playlist = (await client.get(f"/media/{slug}/stream.m3u8")).text
    assert playlist.count("#EXTINF") == 1
    assert "#EXTINF:0.600000," in playlist
    assert flashes(f"{base_url}/media/{slug}/stream.m3u8") == pytest.approx([5.0], abs=0.03)
    # Nothing of the recording itself can be had by this slug, but its header.
    file = await client.get(f"/media/{slug}/0.mp4")
    assert len(file.content) < 2_000


async def test_the_file_of_a_cut_holds_what_is_played_of_it_as_it_lies(
    client: httpx.AsyncClient, library: Library, video: Asset, tmp_path: Path
) -> None:
    slug = await library.cut((video, 3.5, 9.0))
    cut = (await client.get(f"/media/{slug}/0.mp4")).content
    path = tmp_path / "cut.mp4"
    path.write_bytes(cut)
    assert flash_seconds(path) == pytest.approx([4.0, 5.0, 6.0, 7.0], abs=0.03)
    playlist = (await client.get(f"/media/{slug}/stream.m3u8")).text
    header = int(re.findall(r'URI="0.mp4",BYTERANGE="(\d+)@0"', playlist)[0])
    across = await client.get(f"/media/{slug}/0.mp4", headers={"Range": f"bytes={header - 7}-{header + 8}"})
    assert across.content == cut[header - 7 : header + 9]
    assert (await client.get(f"/media/{slug}/thumbnail.jpg")).status_code == 404


async def test_a_cut_on_key_frames_is_not_encoded(
    client: httpx.AsyncClient, library: Library, video: Asset
) -> None:
    playlist = (await client.get(f"/media/{await library.cut((video, 2.0, 6.0))}/stream.m3u8")).text
    assert ".clip." not in playlist
    assert "DISCONTINUITY" not in playlist


async def test_clips_of_other_names_are_not_made(
    client: httpx.AsyncClient, library: Library, video: Asset
) -> None:
    slug = await library.cut((video, 3.5, 8.0))
    for name in ("0-tail", "1-head", "seg-1", "0"):
        for kind in ("clip", "init"):
            assert (await client.get(f"/media/{slug}/{name}.{kind}.mp4")).status_code == 404


async def test_joined_cuts_decode_one_after_the_other(base_url: str, library: Library, video: Asset) -> None:
    slug = await library.cut((video, 0.0, 1.9), (video, 8.1, 9.9))
    times = decoded(f"{base_url}/media/{slug}/stream.m3u8")["video"]
    assert times == sorted(times)
    assert len(times) in range(55, 58)
    assert [at for at in times if 1.95 < at < 8.05] == []


async def test_players_on_other_sites_may_read_it(client: httpx.AsyncClient, video: Asset) -> None:
    media = f"/media/{video.playback_slug}"
    for name in ("stream.m3u8", "0.mp4", "thumbnail.jpg", "transcript.json", "9.mp4"):
        answer = await client.get(f"{media}/{name}", headers={"Origin": "https://elsewhere.example"})
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "Content-Range" in answer.headers["access-control-expose-headers"]
    asked = await client.options(f"{media}/0.mp4", headers={"Origin": "https://elsewhere.example"})
    assert asked.status_code == 204
    assert "Range" in asked.headers["access-control-allow-headers"]


@pytest.mark.parametrize("name", ["stream.m3u8", "0.mp4", "thumbnail.jpg", "transcript.json"])
@pytest.mark.parametrize("slug", ["unknown", "%00", "a%20b", "x" * 300])
async def test_an_unknown_slug_is_answered_with_the_envelope(
    client: httpx.AsyncClient, slug: str, name: str
) -> None:
    answer = await client.get(f"/media/{slug}/{name}")
    assert answer.status_code == 404
    body = answer.json()
    assert (body["success"], body["error_code"]) == (False, "not_found")
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_what_was_deleted_is_gone(client: httpx.AsyncClient, library: Library, video: Asset) -> None:
    slug = await library.cut((video, 0.0, 2.0))
    async with library.context.db.transaction() as session:
        await erase_asset(session, await session.get_one(Asset, video.id))
    for gone in (slug, video.playback_slug):
        assert (await client.get(f"/media/{gone}/stream.m3u8")).status_code == 404


async def test_the_thumbnail_is_a_picture(client: httpx.AsyncClient, video: Asset) -> None:
    answer = await client.get(f"/media/{video.playback_slug}/thumbnail.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8\xff")

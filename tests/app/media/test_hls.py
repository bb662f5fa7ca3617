import json
import re
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import Unprocessable
from app.media.hls import Fragment, FragmentIndex, PlaylistPart, index_fragments, media_playlist
from app.media.recorded import RecordedTrack
from tests.fixtures.http_ranges import serve
from tests.fixtures.media import START_US, beeps, export_recording, h264_frames, opus_packets, record

# AAC begins with 1024 samples of priming and ends on a whole frame of 1024: 21 ms each.
AAC_SECONDS = 0.045


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    video = record(h264_frames(seconds=12.0, keyframe_seconds=4.0), folder, "display")
    audio = record(opus_packets(beeps(12.0)), folder, "mic")
    return export_recording(video, [audio], folder / "out.mp4").path


@pytest.fixture(scope="module")
def sound_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    audio = record(opus_packets(beeps(10.0)), folder, "mic")
    return export_recording(None, [audio], folder / "out.m4a").path


def play(playlist: str, folder: Path) -> dict[str, list[float]]:
    """Play `playlist` from a server beside the media; times of decoded frames by kind of stream."""
    (folder / "list.m3u8").write_text(playlist)
    times: dict[str, list[float]] = {"video": [], "audio": []}
    with serve(folder) as url, av.open(f"{url}/list.m3u8", format="hls", timeout=10.0) as container:
        for frame in container.decode():
            assert frame.time is not None
            times["video" if isinstance(frame, av.VideoFrame) else "audio"].append(frame.time)
    return times


def total_seconds(playlist: str) -> float:
    return sum(float(found) for found in re.findall(r"#EXTINF:([\d.]+),", playlist))


def test_fragments_cover_the_file(exported: Path) -> None:
    index = index_fragments(exported)
    end = index.init_length_bytes
    for fragment in index.fragments:
        assert fragment.offset_bytes == end
        end += fragment.length_bytes
        assert fragment.starts_with_keyframe
    assert exported.stat().st_size - end < 300  # the random access table at the end
    assert index.duration_seconds == pytest.approx(12.0, abs=AAC_SECONDS)
    starts = [fragment.start_seconds for fragment in index.fragments]
    assert starts == pytest.approx([0.0, 4.0, 8.0], abs=0.03)  # an AAC frame lies across each


def test_header_and_one_fragment_decode_alone(exported: Path, tmp_path: Path) -> None:
    index = index_fragments(exported)
    data, last = exported.read_bytes(), index.fragments[-1]
    alone = tmp_path / "alone.mp4"
    alone.write_bytes(
        data[: index.init_length_bytes] + data[last.offset_bytes : last.offset_bytes + last.length_bytes]
    )
    with av.open(str(alone)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == 60
    assert times[0] == pytest.approx(last.start_seconds, abs=0.03)


def test_the_index_survives_json(exported: Path) -> None:
    index = index_fragments(exported)
    assert FragmentIndex.from_json(json.loads(json.dumps(index.to_json()))) == index


def test_the_whole_playlist_plays(exported: Path) -> None:
    index = index_fragments(exported)
    playlist = media_playlist([PlaylistPart("out.mp4", index, 0.0, index.duration_seconds)])
    times = play(playlist, exported.parent)
    assert len(times["video"]) == 180
    assert times["video"][-1] - times["video"][0] == pytest.approx(12.0 - 1 / 15, abs=0.02)
    assert times["audio"][-1] == pytest.approx(12.0, abs=AAC_SECONDS)
    assert total_seconds(playlist) == pytest.approx(12.0, abs=AAC_SECONDS)
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert "#EXT-X-DISCONTINUITY" not in playlist


def test_sound_alone_plays(sound_only: Path) -> None:
    index = index_fragments(sound_only)
    playlist = media_playlist([PlaylistPart("out.m4a", index, 0.0, 10.0)])
    times = play(playlist, sound_only.parent)
    assert times["audio"][-1] == pytest.approx(10.0, abs=AAC_SECONDS)
    assert all(float(found) <= 6 for found in re.findall(r"#EXTINF:([\d.]+),", playlist))


def each_part(playlist: str) -> list[str]:
    """Split at discontinuities: FFmpeg's HLS reader ignores them, and loses pictures where time goes back."""
    head, _, rest = playlist.partition("#EXT-X-MAP")
    parts = ("#EXT-X-MAP" + rest).removesuffix("#EXT-X-ENDLIST\n").split("#EXT-X-DISCONTINUITY\n")
    return [f"{head}{part}#EXT-X-ENDLIST\n" for part in parts]


def test_cut_parts_are_apart_by_a_discontinuity(exported: Path) -> None:
    index = index_fragments(exported)
    parts = [PlaylistPart("out.mp4", index, 9.0, 10.0), PlaylistPart("out.mp4", index, 0.5, 1.0)]
    playlist = media_playlist(parts)
    assert playlist.count("#EXT-X-DISCONTINUITY\n") == 1
    assert playlist.count("#EXT-X-MAP:") == 2
    assert total_seconds(playlist) == pytest.approx(8.0, abs=AAC_SECONDS)  # whole fragments of 4 s
    played = [play(part, exported.parent)["video"] for part in each_part(playlist)]
    assert [len(times) for times in played] == [60, 60]
    assert [times[0] for times in played] == pytest.approx([8.0, 0.0], abs=0.01)


def test_cut_parts_in_order_play_in_one_go(exported: Path) -> None:
    index = index_fragments(exported)
    parts = [PlaylistPart("out.mp4", index, 0.5, 1.0), PlaylistPart("out.mp4", index, 9.0, 10.0)]
    times = play(media_playlist(parts), exported.parent)["video"]
    assert len(times) == 120
    assert times == sorted(times)


def segments_playlist(track: RecordedTrack) -> str:
    return media_playlist(
        [PlaylistPart(one.path.name, index_fragments(one.path), 0.0, 60.0) for one in track.segments]
    )


def test_recorded_segments_play_as_parts(tmp_path: Path) -> None:
    track = record(h264_frames(seconds=8.0, keyframe_seconds=4.0), tmp_path, "display")
    fragments = [len(index_fragments(segment.path).fragments) for segment in track.segments]
    assert fragments == [4, 4]  # a second each
    playlist = segments_playlist(track)
    assert playlist.count("#EXTINF") == 2  # joined
    assert [len(play(part, tmp_path)["video"]) for part in each_part(playlist)] == [60, 60]


def test_segments_with_a_common_zero_play_in_one_go(tmp_path: Path) -> None:
    zero_us = START_US - 5_000_000
    video = record(h264_frames(seconds=8.0, keyframe_seconds=4.0), tmp_path, "display", zero_us=zero_us)
    audio = record(opus_packets(beeps(8.0)), tmp_path, "mic", zero_us=zero_us)
    pictures, sounds = play(segments_playlist(video), tmp_path), play(segments_playlist(audio), tmp_path)
    assert pictures["video"] == pytest.approx([5 + number / 15 for number in range(120)], abs=0.001)
    assert len(sounds["audio"]) == 401
    assert sounds["audio"][0] == pytest.approx(5.0 - 0.0065, abs=0.001)  # the encoder's delay


def test_a_part_begins_at_the_key_frame_before_it(tmp_path: Path) -> None:
    track = record(h264_frames(seconds=4.0, keyframe_seconds=4.0), tmp_path, "display")
    index = index_fragments(track.segments[0].path)
    assert [fragment.starts_with_keyframe for fragment in index.fragments] == [True, False, False, False]
    playlist = media_playlist([PlaylistPart("x.mp4", index, 2.5, 2.6)])
    assert total_seconds(playlist) == pytest.approx(3.0, abs=0.001)


@given(
    durations=st.lists(st.floats(0.01, 40.0), min_size=1, max_size=40),
    begin=st.floats(0.0, 100.0),
    length=st.floats(0.0, 200.0),
)
def test_playlists_hold_each_wanted_fragment_once(
    durations: list[float], begin: float, length: float
) -> None:
    fragments, at = [], 0.0
    for number, duration in enumerate(durations):
        fragments.append(Fragment(100 + number * 10, 10, at, duration))
        at += duration
    part = PlaylistPart("m.mp4", FragmentIndex(100, tuple(fragments), at), begin, begin + length)
    wanted = [f for f in fragments if f.end_seconds > begin and f.start_seconds < begin + length]
    if not wanted:
        with pytest.raises(Unprocessable):
            media_playlist([part])
        return
    playlist = media_playlist([part])
    ranges = [(int(n), int(o)) for n, o in re.findall(r"EXT-X-BYTERANGE:(\d+)@(\d+)", playlist)]
    assert ranges[0][1] == wanted[0].offset_bytes
    assert sum(length_bytes for length_bytes, _ in ranges) == 10 * len(wanted)
    target = int(re.findall(r"TARGETDURATION:(\d+)", playlist)[0])
    assert all(float(found) <= target for found in re.findall(r"#EXTINF:([\d.]+),", playlist))


def test_a_cut_file_gives_its_whole_fragments(exported: Path, tmp_path: Path) -> None:
    whole = index_fragments(exported)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(exported.read_bytes()[: whole.fragments[1].offset_bytes + 1000])
    assert [f.offset_bytes for f in index_fragments(cut).fragments] == [whole.fragments[0].offset_bytes]


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"not a media file at all", b"\x00\x00\x00\x01moov"])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    with pytest.raises(Unprocessable):
        index_fragments(path)


@given(at=st.integers(0, 1200), value=st.integers(0, 255))
def test_a_damaged_header_never_escapes_as_another_error(exported: Path, at: int, value: int) -> None:
    data = bytearray(exported.read_bytes()[:250_000])
    data[at] = value
    path = exported.parent / "damaged.mp4"
    path.write_bytes(data)
    try:
        index = index_fragments(path)
    except Unprocessable:
        return
    assert index.fragments

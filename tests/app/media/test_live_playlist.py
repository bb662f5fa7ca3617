import re
from dataclasses import replace
from itertools import pairwise

import pytest

from app.base.errors import Unprocessable
from app.media.hls import Fragment, FragmentIndex
from app.media.live import LiveSegment, live_entries
from app.media.playlist import Sound, media_playlist, multivariant_playlist

START_US = 1_760_000_000_000_000
TARGET_SECONDS = 5


def segment(name: str, at_seconds: float, seconds: float = 4.0, *, header: str = "a") -> LiveSegment:
    """A segment whose fragments are a second each; the first has the key frame."""
    fragments = [Fragment(100 + 10 * n, 10, float(n), 1.0, not n) for n in range(round(seconds))]
    index = FragmentIndex(100, tuple(fragments), seconds)
    return LiveSegment(name, START_US + round(at_seconds * 1e6), round(seconds * 1e6), index, header)


def playlist(*segments: LiveSegment, start: float = 0.0, end: float | None = None, **options: object) -> str:
    entries = live_entries(
        segments,
        start_us=START_US + round(start * 1e6),
        end_us=None if end is None else START_US + round(end * 1e6),
        target_seconds=TARGET_SECONDS,
        **({"holes": "joined"} | options),  # type: ignore[arg-type]
    )
    return media_playlist(entries, is_event=True, has_ended=False, target_seconds=TARGET_SECONDS)


def test_one_header_serves_all_segments_that_have_it() -> None:
    assert playlist(segment("s1", 0.0), segment("s2", 4.0)).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:8",
        "#EXT-X-TARGETDURATION:5",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        '#EXT-X-MAP:URI="s1.mp4",BYTERANGE="100@0"',
        "#EXT-X-PROGRAM-DATE-TIME:2025-10-09T08:53:20.000Z",
        "#EXTINF:4.000000,",
        "#EXT-X-BYTERANGE:40@100",
        "s1.mp4",
        "#EXT-X-PROGRAM-DATE-TIME:2025-10-09T08:53:24.000Z",
        "#EXTINF:4.000000,",
        "#EXT-X-BYTERANGE:40@100",
        "s2.mp4",
    ]


def test_another_header_is_a_discontinuity() -> None:
    text = playlist(segment("s1", 0.0), segment("s2", 4.0, header="b"))
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert re.findall(r'MAP:URI="(..).mp4"', text) == ["s1", "s2"]


def test_a_hole_is_a_discontinuity() -> None:
    text = playlist(segment("s1", 0.0), segment("s2", 9.5), segment("s3", 13.6))
    before, after = text.split("#EXT-X-DISCONTINUITY\n")
    assert "s1.mp4" in before
    assert "s2.mp4" in after
    assert text.count("#EXT-X-MAP") == 1


def test_nothing_is_said_behind_a_segment_that_may_still_grow() -> None:
    growing = replace(segment("s2", 4.0), grows=True, frames=(0.0, 1.0, 2.0, 3.0))
    text = playlist(segment("s1", 0.0), growing, segment("s3", 8.0))
    assert text.endswith('TYPE=PART,URI="s2.4.part.mp4"\n')
    assert "s3.mp4" not in text
    after = playlist(segment("s1", 0.0), segment("s2", 4.0), segment("s3", 8.0))
    assert "s3.mp4" in after


def test_a_hole_between_renditions_keeps_its_time() -> None:
    text = playlist(segment("s1", 0.0), segment("s2", 12.0, header="b"), holes="gaps")
    assert "DISCONTINUITY" not in text
    assert re.findall(r"#EXT-X-GAP\n#EXTINF:([\d.]+),", text) == ["5.000000", "3.000000"]


def test_a_rendition_that_starts_late_begins_with_a_gap() -> None:
    text = playlist(segment("s1", 2.0), holes="gaps")
    assert re.findall(r"(GAP\n)?#EXTINF:([\d.]+),", text) == [("GAP\n", "2.000000"), ("", "4.000000")]


def test_silence_grows_by_whole_gaps_only() -> None:
    said = [
        playlist(segment("s1", 0.0), holes="gaps", until_us=START_US + seconds * 1_000_000)
        for seconds in (3, 8, 9, 13, 14)
    ]
    assert [text.count("#EXT-X-GAP") for text in said] == [0, 0, 1, 1, 2]
    back = playlist(segment("s1", 0.0), segment("s2", 16.5), holes="gaps")
    assert all(back.startswith(text) for text in said[2:])


def test_a_long_segment_is_in_pieces_of_the_target_duration() -> None:
    text = playlist(segment("s1", 0.0, 12.0))
    assert re.findall(r"#EXTINF:([\d.]+),\n#EXT-X-BYTERANGE:(\S+)", text) == [
        ("5.000000", "50@100"),
        ("5.000000", "50@150"),
        ("2.000000", "20@200"),
    ]
    assert "#EXT-X-TARGETDURATION:5" in text


def test_the_ends_of_a_range_are_clips() -> None:
    text = playlist(segment("s1", 0.0), segment("s2", 4.0), segment("s3", 8.0), start=1.5, end=9.25)
    assert re.findall(r"#EXTINF:([\d.]+),\n(?:#EXT-X-BYTERANGE.*\n)?(.+)", text) == [
        ("2.500000", "s1.clip.mp4"),
        ("4.000000", "s2.mp4"),
        ("1.250000", "s3.clip.mp4"),
    ]
    assert 'URI="s1.init.mp4"' in text
    assert text.count("#EXT-X-DISCONTINUITY\n") == 2
    assert "08:53:21.500Z" in text


def test_what_players_do_not_take_is_clips_with_one_header() -> None:
    segments = [
        LiveSegment(name, START_US + at * 1_000_000, 4_000_000, None, "vp8 640x360")
        for name, at in (("s1", 0), ("s2", 4))
    ]
    text = playlist(*segments)
    assert re.findall(r"^s.+", text, re.MULTILINE) == ["s1.clip.mp4", "s2.clip.mp4"]
    assert text.count("#EXT-X-MAP") == 1
    assert "DISCONTINUITY" not in text


def test_every_playlist_begins_with_the_one_before() -> None:
    segments = [segment("s1", 0.0), segment("s2", 4.0), segment("s3", 14.0, 9.0), segment("s4", 23.0)]
    for holes in ("joined", "gaps"):
        texts = [playlist(*segments[:count], start=1.0, holes=holes) for count in range(1, 5)]
        assert all(later.startswith(sooner) for sooner, later in pairwise(texts))


def test_nothing_recorded_is_no_playlist() -> None:
    with pytest.raises(Unprocessable):
        playlist()


def test_the_first_sound_is_heard() -> None:
    text = multivariant_playlist(
        "rts-1.m3u8",
        [Sound("mic:default", "rts-2.m3u8"), Sound("system_audio:default", "rts-3.m3u8")],
        bits_per_second=900_000,
        size=(1280, 720),
    )
    assert text.splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="mic:default",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2"'
        ',URI="rts-2.m3u8"',
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="system_audio:default",DEFAULT=NO,AUTOSELECT=NO'
        ',CHANNELS="2",URI="rts-3.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=1280x720,AUDIO="sound"',
        "rts-1.m3u8",
    ]

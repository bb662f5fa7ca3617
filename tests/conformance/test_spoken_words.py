"""Checks 46 and 64, and what Tier B has of spoken words: transcripts, answers that lead somewhere, clips,
titles and subtitles, on one uploaded recording with real speech."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest

from tests.conformance.playback import play
from tests.fixtures.captures import RATE_HZ, speech, write_screen, write_sound
from tests.fixtures.media import tone
from tests.fixtures.sdks import NEWEST, OLDEST, Sdk
from tests.fixtures.spoken_words import word_error_rate
from tests.fixtures.stack import RunningStack

Json = dict[str, Any]
LEAD_SECONDS, PAUSE_SECONDS = 2.0, 3.0
READ_SECONDS = 8.5  # of two_cities.wav
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
SAID = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of"
    f" foolishness. {BECKETT}"
)
YELLOW = np.array([255, 255, 0])
LONGEST_JOB_SECONDS = 60


@pytest.fixture(scope="session")
def recording_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A screen on which somebody reads Dickens and, after a pause, Beckett."""
    folder = tmp_path_factory.mktemp("spoken")
    parts = [LEAD_SECONDS, speech("two_cities.wav", 0.0, READ_SECONDS), PAUSE_SECONDS]
    sound = write_sound(folder / "sound.wav", [*parts, speech("beckett.wav", 0.0, 9.0)])
    with av.open(str(sound)) as heard:
        seconds = float(heard.streams.audio[0].duration * heard.streams.audio[0].time_base)
    picture = write_screen(folder / "screen.mp4", "display:1", seconds)
    target = folder / "recording.mp4"
    with av.open(str(target), "w") as made, av.open(str(picture)) as seen, av.open(str(sound)) as heard:
        video = made.add_stream_from_template(seen.streams.video[0])
        audio = made.add_stream("aac", rate=RATE_HZ, layout="mono")
        for packet in seen.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                made.mux(packet)
        for frame in heard.decode(audio=0):
            frame.pts, frame.time_base = frame.pts, Fraction(1, RATE_HZ)
            made.mux(audio.encode(frame))
        made.mux(audio.encode(None))
    return target


@pytest.fixture(scope="session")
def recording(pythons: dict[str, Sdk], recording_file: Path) -> Json:
    """The recording in the product, alone in its collection: `id` and `collection_id`, as snippets take
    them."""
    collection_id, video_id = pythons[NEWEST].run(
        """
        collection = conn.create_collection("Readings", "of books")
        emit([collection.id, collection.upload(file_path=path, name="Two readings").id])
        """,
        path=str(recording_file),
    )
    return {"id": video_id, "collection_id": collection_id}


TRANSCRIPT = """
    video = conn.get_collection(collection_id).get_video(id)
    video.generate_transcript()
    again = video.generate_transcript()
    emit({
        "again": again,
        "length": float(video.length),
        "words": video.get_transcript(),
        "text": video.get_transcript_text(),
        "sentences": video.get_transcript(segmenter="sentence"),
        "time": video.get_transcript(segmenter="time", length=5),
        "part": video.get_transcript(start=0, end=5),
    })
"""


def test_check_64_a_transcript_in_words_sentences_and_stretches(py: Sdk, recording: Json) -> None:
    found = py.run(TRANSCRIPT, **recording)
    assert found["again"] == {"success": True, "message": "Transcript generated successfully"}
    assert found["length"] > 18
    assert word_error_rate(SAID, found["text"]) < 0.15
    said = " ".join(row["text"] for row in found["words"])
    for segments in (found["sentences"], found["time"]):
        assert " ".join(row["text"] for row in segments) == said
    for row in found["words"]:
        assert row["text"] == row["word"]
        assert " " not in row["text"]
        assert LEAD_SECONDS - 0.3 <= row["start"] <= row["end"] <= found["length"] + 0.1
    assert 6 <= len(found["sentences"]) < len(found["words"])
    assert all(row["end"] - row["start"] == 5 and row["start"] % 5 == 0 for row in found["time"])
    assert found["part"] == [row for row in found["words"] if row["start"] < 5]
    # Nothing is said in the pause.
    silent_at = LEAD_SECONDS + READ_SECONDS
    assert not [row for row in found["words"] if 0 < row["start"] - silent_at < PAUSE_SECONDS - 0.5]


def test_check_64_node_and_sounds(
    node: Sdk, pythons: dict[str, Sdk], recording: Json, tmp_path: Path
) -> None:
    found = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const video = await (await conn.getCollection(collection_id)).getVideo(id);
        const made = await video.generateTranscript();
        const part = await video.getTranscript(0, 8, 'sentence');
        emit({ made, part: part.wordTimestamps, text: await video.getTranscriptText() });
        """,
        **recording,
    )
    assert found["made"]["success"] is True
    assert "best of times" in found["part"][0]["text"]
    assert word_error_rate(SAID, found["text"]) < 0.15
    sound = write_sound(tmp_path / "said.wav", [1.0, speech("beckett.wav", 0.0, 9.0)])
    heard = pythons[NEWEST].run(
        """
        audio = conn.upload(file_path=path)
        audio.generate_transcript()
        emit([audio.get_transcript_text(), audio.get_transcript()[0]])
        """,
        path=str(sound),
    )
    assert (
        word_error_rate("Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.", heard[0])
        == 0
    )
    assert heard[1]["start"] == pytest.approx(1.0, abs=0.4)


ANSWERS = """
    import warnings
    warnings.simplefilter("ignore")
    collection = conn.get_collection(collection_id)
    video = collection.get_video(id)
    video.index_spoken_words(segmentation_type="sentence")
    video.index_spoken_words()

    def told(found):
        return [[shot.start, shot.end, shot.text, shot.search_score] for shot in found.shots]

    shots = video.search("failing over and over", return_fields="transcript").shots
    clips = video.clip("wisdom", "spoken", "basic")
    emit({
        "v2": told(video.search("times")),
        "legacy": told(video.legacy_search("times", result_threshold=10, score_threshold=0.0)),
        "collection": told(collection.search("times")),
        "stream_url": shots[0].stream_url,
        "player_url": shots[0].player_url,
        "generated": shots[0].generate_stream(),
        "start": shots[0].start,
        "end": shots[0].end,
        "indexes": shots[0].metadata["indexes"],
        "late": told(video.search("times", filter=[{"field": "start", "op": ">", "value": 8}])),
        "stitched": told(video.legacy_search("try again, fail again, fail better", stitch=True)),
        "clips": told(clips),
        "clip_url": clips.compile(),
        "titles": [row["video"].id for row in collection.search_title("two readings")],
    })
"""


def playlist_seconds(stream_url: str) -> float:
    """How long the stream says that it is."""
    lines = httpx.get(stream_url).raise_for_status().text.splitlines()
    return sum(float(line[8:].rstrip(",")) for line in lines if line.startswith("#EXTINF:"))


def test_answers_lead_to_their_moment_and_are_the_same_by_every_route(
    pythons: dict[str, Sdk], recording: Json
) -> None:
    found = pythons[NEWEST].run(ANSWERS, **recording)
    assert found["v2"] == found["legacy"] == found["collection"]
    assert "best of times" in found["v2"][0][2]
    assert found["generated"] == found["stream_url"]
    assert play(found["stream_url"]).kinds == ["audio", "video"]
    length = max(found["end"] - found["start"], 1.0)
    assert playlist_seconds(found["stream_url"]) == pytest.approx(length, abs=0.15)
    assert float(found["player_url"].partition("&t=")[2]) == pytest.approx(found["start"], abs=0.1)
    assert httpx.get(found["player_url"]).status_code == 200
    row = found["indexes"]["transcript"][0]
    assert (row["start"], row["end"]) == (found["start"], found["end"])
    assert found["late"] == [] or all(row[0] > 8 for row in found["late"])
    starts = [row[0] for row in found["stitched"]]
    assert any("Fail again. Fail better." in row[2] for row in found["stitched"])
    assert len(starts) == len(set(starts))
    ((start, end, text, _score), *_) = found["clips"]
    assert "wisdom" in text
    assert 3 <= end - start <= 60
    length = sum(row[1] - row[0] for row in found["clips"])
    assert playlist_seconds(found["clip_url"]) == pytest.approx(length, abs=0.3)
    assert found["titles"] == [recording["id"]]


def test_what_cannot_be_searched_says_why(pythons: dict[str, Sdk], recording: Json) -> None:
    said = pythons[NEWEST].run(
        """
        video = conn.get_collection(collection_id).get_video(id)
        video.index_spoken_words()

        def mistake(call):
            try:
                call()
            except videodb.InvalidRequestError as error:
                return str(error)

        emit([
            mistake(lambda: video.search("x", filter=[{"field": "colour", "op": "==", "value": 1}])),
            mistake(lambda: video.clip("x", "smelled", "basic")),
            mistake(lambda: video.index_spoken_words(language_code="no language", force=True)),
        ])
        """,
        **recording,
    )
    assert "colour" in said[0]
    assert "content_type" in said[1]
    assert "language_code" in said[2]


def pictures(stream_url: str, at_seconds: list[float]) -> list[Any]:
    """The stream's pictures at these times, RGB."""
    found = []
    with av.open(stream_url, timeout=30) as container:
        for frame in container.decode(video=0):
            if (
                len(found) < len(at_seconds)
                and frame.time is not None
                and frame.time >= at_seconds[len(found)]
            ):
                found.append(frame.to_ndarray(format="rgb24"))
    return found


def test_subtitles_are_burnt_in_as_long_as_they_are_spoken(
    pythons: dict[str, Sdk], node: Sdk, recording: Json, tmp_path: Path
) -> None:
    spoken = pythons[OLDEST].run(
        """
        video = conn.get_collection(collection_id).get_video(id)
        video.index_spoken_words()
        emit(video.get_transcript(segmenter="sentence"))
        """,
        **recording,
    )
    by_python = pythons[NEWEST].run(
        """
        from videodb import SubtitleStyle
        style = SubtitleStyle(font_size=24, primary_colour="&H0000FFFF", bold=True)
        video = conn.get_collection(collection_id).get_video(id)
        emit([video.add_subtitle(style), video.add_subtitle(style)])
        """,
        **recording,
    )
    assert by_python[0].rpartition("/media/")[2] == by_python[1].rpartition("/media/")[2]
    by_node = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const video = await (await conn.getCollection(collection_id)).getVideo(id);
        const style = { fontSize: 24, primaryColour: '&H0000FFFF', bold: true, alignment: 8 };
        emit(await video.addSubtitle(style));
        """,
        **recording,
    )
    first = spoken[0]
    said_at, silent_at = (first["start"] + first["end"]) / 2, LEAD_SECONDS / 2
    for stream_url, row in ((by_python[0], "lower"), (by_node, "upper")):
        after = pictures(stream_url, [silent_at, said_at])
        assert play(stream_url).kinds == ["audio", "video"]
        silent, said = (np.square(picture - YELLOW).sum(axis=2) < 3000 for picture in after)
        assert not silent.any()
        assert said.sum() > 500
        height, width = said.shape
        rows, columns = np.flatnonzero(said.any(axis=1)), np.flatnonzero(said.any(axis=0))
        assert (rows.min() > height / 2, rows.max() < height / 2) == (row == "lower", row == "upper")
        assert columns.min() > 5
        assert columns.max() < width - 5
    with pytest.raises(AssertionError, match="outline_colour"):
        pythons[NEWEST].run(
            """
            from videodb import SubtitleStyle
            video = conn.get_collection(collection_id).get_video(id)
            video.add_subtitle(SubtitleStyle(outline_colour="black"))
            """,
            **recording,
        )


@contextmanager
def busy(stack: RunningStack, seconds: float) -> Iterator[None]:
    """The worker does nothing for so long."""
    stack.kill("worker", signal.SIGSTOP)
    timer = threading.Timer(seconds, stack.kill, ("worker", signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        stack.kill("worker", signal.SIGCONT)


def test_check_46_a_long_job_is_polled_and_a_failure_is_told(
    pythons: dict[str, Sdk], stack: RunningStack, tmp_path: Path
) -> None:
    """Longer than a request is held, and than the pause between two polls."""
    job = """
        try:
            emit(type(conn.upload(file_path=path)).__name__)
        except videodb.InvalidRequestError as error:
            emit(str(error))
    """
    sound = write_sound(tmp_path / "tone.wav", [tone(1.0, rate_hz=RATE_HZ)])
    (tmp_path / "broken.mp4").write_text("no media")

    def run(asked: tuple[str, str]) -> Any:
        version, name = asked
        return pythons[version].run(job, path=str(tmp_path / name))

    asked = [(version, name) for version in (OLDEST, NEWEST) for name in (sound.name, "broken.mp4")]
    began = time.monotonic()
    with busy(stack, 17), ThreadPoolExecutor(len(asked)) as threads:
        answers = list(threads.map(run, asked))
    assert 17 < time.monotonic() - began < LONGEST_JOB_SECONDS
    for made, failed in (answers[:2], answers[2:]):
        assert made == "Audio"
        assert failed.startswith("Invalid request: ")
        assert len(failed) > len("Invalid request: ")


def test_check_46_every_poll_holds_an_object(stack: RunningStack, recording: Json) -> None:
    with stack.client() as client, busy(stack, 17):
        asked = client.post(f"/video/{recording['id']}/transcription", json={"force": True}).json()
        assert (asked["status"], asked["request_type"]) == ("processing", "sync")
        polled: Mapping[str, Any] = asked
        while polled.get("status") == "processing":
            assert isinstance(polled["data"]["percentage"], int)
            polled = client.get(polled["data"]["output_url"]).json()
    assert polled["success"] is True
    assert polled["data"]["word_timestamps"]

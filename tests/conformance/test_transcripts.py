"""Checks 21, 22, 28, 29 and 53: live transcripts, the sockets they reach, polling and search."""

import time
from itertools import pairwise
from typing import Any

from tests.fixtures.captures import Capture
from tests.fixtures.sdks import Sdk
from tests.fixtures.stack import RunningStack

A_DAY_SECONDS = 86_400


def stream_ids(capture: Capture) -> dict[str, str]:
    rows = capture.event("active")["data"]["rtstreams"]
    return {row["name"]: row["rtstream_id"] for row in rows}


def text_of(frames: list[dict[str, object]]) -> str:
    return " ".join(str(frame["text"]) for frame in frames).lower()


def test_check_21_a_transcript_without_a_socket_reaches_the_sessions_socket(live: Capture) -> None:
    assert live.replies["mic"]["status"] == "running"
    frames = live.finals("session")
    assert "best of times" in text_of(frames)
    assert {frame["rtstream_id"] for frame in frames} == {stream_ids(live)["mic:default"]}


def test_check_21_a_transcript_ends_with_its_capture(live: Capture, stack: RunningStack) -> None:
    with stack.client() as client:
        reply = client.get(f"/rtstream/{stream_ids(live)['mic:default']}/transcription/status")
    assert reply.json()["data"]["status"] == "stopped"


def test_check_22_a_transcript_with_a_socket_has_the_promised_frames(live: Capture) -> None:
    assert live.replies["system_audio"]["status"] == "running"
    assert "ever tried" in text_of(live.finals("own"))
    for frame in live.transcripts("own"):
        assert (frame["channel"], frame["type"]) == ("transcript", "transcript")
        assert frame["rtstream_id"] == stream_ids(live)["system_audio:default"]
        assert frame["rtstream_name"] == "system_audio:default"
        data = frame["data"]
        assert data["text"] == frame["text"] != ""
        assert data["is_final"] is frame["is_final"]
        assert type(data["start"]) is type(data["end"]) is int
        assert 1e12 < data["start"] < data["end"] < (time.time() + A_DAY_SECONDS) * 1000
        assert "id" not in frame
    for frame in live.finals("own"):
        words = frame["data"]["word_timestamps"]
        assert " ".join(word["word"] for word in words) == frame["text"]
        assert frame["data"]["start"] == words[0]["start"]
        assert frame["data"]["end"] == words[-1]["end"]
        assert all(type(word["start"]) is type(word["end"]) is int for word in words)


def test_check_22_interims_grow_and_one_final_ends_each_utterance(live: Capture) -> None:
    frames = live.transcripts("session")
    assert not frames[0]["is_final"]  # seven seconds, or three and a half, are heard while they are said
    by_utterance: dict[str, list[dict[str, Any]]] = {}
    for frame in frames:
        by_utterance.setdefault(frame["data"]["utterance_id"], []).append(frame["data"])
    for said in by_utterance.values():
        assert [data["is_final"] for data in said] == [False] * (len(said) - 1) + [True]
        for data in said:
            assert abs(data["start"] - said[-1]["start"]) < 500
        ends = [data["end"] for data in said]
        assert all(end <= later + 500 for end, later in pairwise(ends))


def test_check_28_only_the_named_socket_hears_its_pipeline(live: Capture) -> None:
    assert live.frames["other"] == []
    own = {frame["rtstream_name"] for frame in live.transcripts("own")}
    assert own == {"system_audio:default"}
    assert {frame["channel"] for frame in live.frames["own"]} == {"transcript"}
    assert {frame["rtstream_name"] for frame in live.transcripts("session")} == {"mic:default"}
    moves = [frame for frame in live.frames["session"] if frame["channel"] == "capture_session"]
    assert [frame["event"] for frame in moves] == [event["event"] for event in live.events]
    assert all(frame["data"]["status"] == frame["status"] for frame in moves)


def test_check_29_a_stream_is_searched_by_its_words(meeting: Capture, py: Sdk) -> None:
    found, nothing = py.run(
        """
        mic = conn.get_capture_session(id).get_rtstream("mic")[0]
        shots = mic.search("the best of times").shots
        emit([[[shot.text, shot.start, shot.end] for shot in shots], mic.search("budget discussion").shots])
        """,
        id=meeting.session_id,
    )
    text, start, end = found[0]
    assert "best of times" in text.lower()
    assert abs(start - time.time()) < A_DAY_SECONDS
    assert 0 < end - start < 20
    assert nothing == []


def test_check_53_a_transcript_is_polled_by_time_and_by_page(meeting: Capture, py: Sdk) -> None:
    whole, newer, none, clamped, first, second = py.run(
        """
        mic = conn.get_capture_session(id).get_rtstream("mic")[0]
        whole = mic.get_transcript(engine="assemblyai")
        begin = whole["transcription_records"][0]["start"]
        last = whole["transcription_records"][-1]["start"]
        emit([
            whole,
            mic.get_transcript(since=begin),
            mic.get_transcript(since=last),
            mic.get_transcript(page_size=5000),
            mic.get_transcript(page_size=1),
            mic.get_transcript(page=2, page_size=1),
        ])
        """,
        id=meeting.session_id,
    )
    records = whole["transcription_records"]
    assert newer["transcription_records"] == records[1:]
    assert none["transcription_records"] == []
    assert clamped["transcription_records"] == records
    assert clamped["page_size"] <= 1000
    assert (first["transcription_records"], first["next_page"]) == (records[:1], len(records) > 1)
    assert (second["transcription_records"], second["page"]) == (records[1:2], 2)
    for record in records:
        assert record["text"] == " ".join(word["word"] for word in record["word_timestamps"])
        assert 1e9 < record["start"] < record["end"] < time.time() + A_DAY_SECONDS

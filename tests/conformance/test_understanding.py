"""Check 66: a recording is understood, indexed by name, asked by its fields, and answers questions."""

import pytest

from tests.fixtures.captures import LEAD_SECONDS, Capture
from tests.fixtures.sdks import NEWEST, Sdk

UNDERSTAND = """
    collection = conn.get_collection(collection_id)
    video = collection.get_video(id)
    run = video.understand(
        analyzers=[
            {"type": "spoken_words", "name": "transcript"},
            {"type": "ocr", "sampling": {"frame_count": 1}},
            {"type": "faces"},
        ],
    ).wait_until_complete(timeout=120, poll_interval=1)
    states = {one.name: one.status for one in run.list_analyzers()}
    words = run.get_analyzer("transcript")
    index = video.index(source=words, name="transcript").wait_until_complete(timeout=60, poll_interval=1)
    chapters = video.index(
        name="chapters",
        source=[
            {"start": 0.0, "end": 8.0, "chapter": "novel", "rank": 1},
            {"start": 8.0, "end": 15.0, "chapter": "play", "rank": 2},
            {"start": 15.0, "end": 16.0, "chapter": "play", "rank": 3},
        ],
        use_for=["query", "aggregate"],
    ).wait_until_complete(timeout=60, poll_interval=1)
    page = index.records(limit=1)
    rest = index.records(limit=50, cursor=page.next_cursor)
    found = {}
    for name, scope in (("video", video), ("collection", collection)):
        answer = scope.ask("Which times were it?", include_sources=True)
        found[name] = {
            "semantic": [
                [shot.start, shot.text, shot.scene_index_name]
                for shot in scope.semantic_search("an age of wisdom", index_names=["transcript"], top_k=3)
            ],
            "query": [
                [shot.start, shot.metadata["data"]["rank"]]
                for shot in scope.query(
                    index_name="chapters",
                    filter=[{"field": "chapter", "op": "==", "value": "play"}],
                    sort=[("rank", "desc")],
                )
            ],
            "aggregate": scope.aggregate(index_name="chapters", group_by="chapter")["results"],
            "answer": answer.answer,
            "sources": [[shot.start, shot.text] for shot in answer.sources],
            "warnings": [warning["code"] for warning in answer.warnings],
            "search": [shot.text for shot in scope.search("an age of wisdom", mode="deepsearch").shots],
        }
    emit(
        {
            "status": run.status,
            "states": states,
            "output": words.get_output()["scenes"],
            "index": [index.status, index.record_count, index.use_for],
            "schema": {name: schema.operators for name, schema in chapters.field_schema.items()},
            "same": video.get_index(name="transcript").index_id == index.index_id,
            "listed": sorted(one.name for one in video.list_indexes(use_for="query")),
            "pages": [len(page.records), len(rest.records), rest.next_cursor],
            "record": [page[0].start, page[0].end, page[0].data["text"]],
            "found": found,
        }
    )
    chapters.delete()
    run.delete()
    emit([len(video.list_understandings()), len(video.list_indexes())])
"""


@pytest.mark.slow
def test_check_66_a_recording_is_understood_indexed_and_asked(
    meeting: Capture, pythons: dict[str, Sdk]
) -> None:
    sdk = pythons[NEWEST].given(
        collection_id=meeting.collection_id, id=meeting.event("exported")["data"]["exported_video_id"]
    )
    with sdk.started(UNDERSTAND) as program:
        told = program.next(180)
        left = program.next()
    assert (told["status"], told["states"]) == (
        "done",
        {"transcript": "done", "ocr": "done", "faces": "skipped"},
    )
    spoken = " ".join(scene["data"]["text"] for scene in told["output"]).lower()
    assert "best of times" in spoken
    assert "ever tried" in spoken
    status, count, use_for = told["index"]
    assert (status, count, use_for) == ("ready", len(told["output"]), ["semantic", "query", "aggregate"])
    assert told["same"] is True
    assert told["listed"] == ["chapters", "transcript"]
    assert told["schema"]["rank"] == ["==", "!=", ">", ">=", "<", "<=", "in", "exists"]
    assert told["pages"] == [1, count - 1, None]
    start, end, text = told["record"]
    assert start == pytest.approx(LEAD_SECONDS, abs=1.0)
    assert start < end
    assert "times" in text.lower()
    for found in told["found"].values():
        assert "wisdom" in found["semantic"][0][1].lower()
        assert {name for _, _, name in found["semantic"]} == {"transcript"}
        assert found["query"] == [[15.0, 3], [8.0, 2]]
        assert found["aggregate"] == [{"chapter": "play", "count": 2}, {"chapter": "novel", "count": 1}]
        assert "best of times" in found["answer"].lower()
        assert any("best of times" in text.lower() for _, text in found["sources"])
        assert "no_language_model" in found["warnings"]
        assert any("wisdom" in text.lower() for text in found["search"])
    assert left == [0, 0]

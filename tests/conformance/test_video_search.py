"""Checks 34, 35, 36 and 37: the spoken words of a finished recording are indexed, found and played."""

import httpx
import pytest

from tests.fixtures.captures import LEAD_SECONDS, PAUSE_SECONDS, Capture
from tests.fixtures.sdks import NEWEST, OLDEST, Sdk

NEAR_SECONDS = 1.0
# When each is said in `meeting`; in the waveform of beckett.wav its third burst begins at 3.3 s.
SAID_AT_SECONDS = {
    "best of times": LEAD_SECONDS,
    "ever tried": LEAD_SECONDS + 7.5 + PAUSE_SECONDS + 0.1,
    "no matter": LEAD_SECONDS + 7.5 + PAUSE_SECONDS + 3.3,
}
INDEX_AND_SEARCH = """
    video = conn.get_collection(collection_id).get_video(id)
    video.index_spoken_words()
    found = {}
    for query in queries:
        results = video.search(query)
        shot = results.shots[0]
        found[query] = {"start": shot.start, "end": shot.end, "text": shot.text, "played": shot.play()}
    emit(
        {
            "found": found,
            "played": results.play(),
            "response_type": getattr(results, "response_type", None),
            "nothing": len(video.search("quarterly aardvark").shots),
        }
    )
"""


def played_seconds(link: str) -> float:
    """The length of the stream that a `.play()` link hands to the vendor's player."""
    player, _, stream_url = link.partition("?url=")
    assert player == "https://console.videodb.io/player"
    lines = httpx.get(stream_url).raise_for_status().text.splitlines()
    return sum(
        float(line.removeprefix("#EXTINF:").rstrip(",")) for line in lines if line.startswith("#EXTINF:")
    )


def assert_found(answer: dict[str, dict[str, dict[str, object]]]) -> None:
    for query, at_seconds in SAID_AT_SECONDS.items():
        shot = answer["found"][query]
        assert query in str(shot["text"]).lower()
        assert shot["start"] == pytest.approx(at_seconds, abs=NEAR_SECONDS)
        assert float(str(shot["end"])) > float(str(shot["start"]))
        assert played_seconds(str(shot["played"])) > 0
    assert played_seconds(str(answer["played"])) > 0
    assert answer["nothing"] == 0


def indexed(sdk: Sdk, meeting: Capture) -> dict[str, dict[str, dict[str, object]]]:
    video_id = meeting.event("exported")["data"]["exported_video_id"]
    answer: dict[str, dict[str, dict[str, object]]] = sdk.run(
        INDEX_AND_SEARCH, collection_id=meeting.collection_id, id=video_id, queries=list(SAID_AT_SECONDS)
    )
    return answer


def test_check_34_the_oldest_python_finds_and_plays_words(meeting: Capture, pythons: dict[str, Sdk]) -> None:
    answer = indexed(pythons[OLDEST], meeting)
    assert_found(answer)
    assert answer["response_type"] is None


def test_check_35_the_newest_python_finds_and_plays_words(meeting: Capture, pythons: dict[str, Sdk]) -> None:
    answer = indexed(pythons[NEWEST], meeting)
    assert_found(answer)
    assert answer["response_type"] == "shots"


def test_check_36_node_finds_and_plays_words(meeting: Capture, node: Sdk) -> None:
    answer = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const video = await (await conn.getCollection(collection_id)).getVideo(id);
        await video.indexSpokenWords();
        const found = {};
        let result;
        for (const query of queries) {
          result = await video.search(query);
          const { start, end, text } = result.shots[0];
          found[query] = { start, end, text, played: await result.shots[0].play() };
        }
        const nothing = (await video.search('quarterly aardvark')).shots.length;
        emit({ found, played: await result.play(), nothing });
        """,
        collection_id=meeting.collection_id,
        id=meeting.event("exported")["data"]["exported_video_id"],
        queries=list(SAID_AT_SECONDS),
    )
    assert_found(answer)


def test_check_37_indexing_again_is_no_error(meeting: Capture, py: Sdk) -> None:
    shots = py.run(
        """
        video = conn.get_collection(collection_id).get_video(id)
        video.index_spoken_words()
        video.index_spoken_words()
        emit([[shot.start, shot.text] for shot in video.search("wisdom").shots])
        """,
        collection_id=meeting.collection_id,
        id=meeting.event("exported")["data"]["exported_video_id"],
    )
    assert "wisdom" in shots[0][1].lower()
    assert len({start for start, _ in shots}) == len(shots)  # and not twice

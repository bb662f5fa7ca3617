from typing import Any

import httpx
import pytest

from app.domain.assets.models import Asset
from tests.app.pages.conftest import Library


async def utterances(client: httpx.AsyncClient, slug: str | None) -> list[dict[str, Any]]:
    answer = await client.get(f"/media/{slug}/transcript.json")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["data"]["utterances"]
    return found


async def test_a_whole_asset_has_all_its_words(
    client: httpx.AsyncClient, library: Library, video: Asset
) -> None:
    await library.say(video, (7.0, "good bye"), (1.0, "hello, you there"))
    assert await utterances(client, video.playback_slug) == [
        {
            "start": 1.0,
            "end": 2.5,
            "text": "hello, you there",
            "words": [
                {"start": 1.0, "end": 1.5, "text": "hello,"},
                {"start": 1.5, "end": 2.0, "text": "you"},
                {"start": 2.0, "end": 2.5, "text": "there"},
            ],
        },
        {
            "start": 7.0,
            "end": 8.0,
            "text": "good bye",
            "words": [{"start": 7.0, "end": 7.5, "text": "good"}, {"start": 7.5, "end": 8.0, "text": "bye"}],
        },
    ]


async def test_a_cut_has_the_words_that_are_heard_in_it(
    client: httpx.AsyncClient, library: Library, video: Asset
) -> None:
    await library.say(
        video, (0.0, "left out"), (3.0, "one two three four"), (7.5, "five six"), (9.0, "left out")
    )
    heard = await utterances(client, await library.cut((video, 4.2, 7.8)))
    assert [one["text"] for one in heard] == ["three four", "five"]
    assert [one["start"] for one in heard] == pytest.approx([0.0, 3.3], abs=0.001)
    assert [one["end"] for one in heard] == pytest.approx([0.8, 3.6], abs=0.001)
    assert heard[0]["words"][1]["start"] == pytest.approx(0.3, abs=0.001)


async def test_parts_are_placed_one_after_the_other(
    client: httpx.AsyncClient, library: Library, video: Asset
) -> None:
    await library.say(video, (0.5, "first"), (8.5, "last"))
    heard = await utterances(client, await library.cut((video, 8.1, 9.9), (video, 0.0, 1.9)))
    assert [one["text"] for one in heard] == ["last", "first"]
    assert [one["start"] for one in heard] == pytest.approx([0.4, 2.3], abs=0.001)


async def test_nothing_said_is_an_empty_list(client: httpx.AsyncClient, video: Asset) -> None:
    assert await utterances(client, video.playback_slug) == []

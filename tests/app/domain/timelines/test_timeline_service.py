from typing import Any

import pytest

from app.base.errors import InvalidRequest, NotFound
from app.domain.assets.models import Asset
from app.domain.operations.service import OperationKind, request_operation
from app.domain.timelines.service import LoadedTimeline, load_timeline
from app.domain.transcripts.service import Spoken, index_subject, replace_asset_utterances
from app.process import Context
from tests.fixtures.factories import Tenant, make_asset, make_tenant

CAPTION = {"type": "caption", "src": "auto"}


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture
async def video(context: Context, tenant: Tenant) -> Asset:
    return await make_asset(context, tenant)


async def load(context: Context, tenant: Tenant, *assets: tuple[float, dict[str, Any]]) -> LoadedTimeline:
    """A timeline of clips of 3 s, each on a track of its own."""
    tracks = [{"clips": [{"start": at, "clip": {"asset": asset, "duration": 3}}]} for at, asset in assets]
    async with context.db.transaction() as session:
        return await load_timeline(session, tenant.account_id, {"editor": {"tracks": tracks}})


async def speak(context: Context, tenant: Tenant, asset: Asset, *said: tuple[float, str]) -> None:
    """Index the asset as the worker does: a word each half second."""
    sentences = []
    for at, text in said:
        words = [
            {"text": word, "start_us": round((at + n / 2) * 1e6), "end_us": round((at + n / 2 + 0.4) * 1e6)}
            for n, word in enumerate(text.split())
        ]
        sentences.append(Spoken(text, words[0]["start_us"], words[-1]["end_us"], "en", words))
    async with context.db.transaction() as session:
        kind, subject = OperationKind.INDEX_SPOKEN_WORDS, index_subject(asset.id)
        operation = await request_operation(session, tenant.account_id, kind, subject, {})
        operation.status = "done"
        await replace_asset_utterances(session, asset.id, operation.id, sentences)


async def test_the_assets_of_a_timeline_are_found(context: Context, tenant: Tenant, video: Asset) -> None:
    sound = {"type": "audio", "id": video.id}
    loaded = await load(context, tenant, (0, {"type": "video", "id": video.id}), (1, sound))
    assert set(loaded.assets) == {video.id}
    assert len(loaded.timeline.clips) == 2


async def test_an_unknown_asset_and_another_accounts_are_named_with_their_clip(
    context: Context, tenant: Tenant, video: Asset
) -> None:
    stranger = await make_tenant(context)
    for account, asset_id in ((tenant, "m-unknown"), (stranger, video.id)):
        with pytest.raises(NotFound) as missing:
            await load(context, account, (0, {"type": "video", "id": asset_id}))
        field = "tracks[0].clips[0].clip.asset.id"
        assert missing.value.field == field
        assert missing.value.message == f"{field}: no video {asset_id}"


async def test_an_asset_of_another_kind_is_refused(context: Context, tenant: Tenant, video: Asset) -> None:
    with pytest.raises(InvalidRequest, match="cannot be used as image"):
        await load(context, tenant, (0, {"type": "image", "id": video.id}))


async def test_captions_need_an_index(context: Context, tenant: Tenant, video: Asset) -> None:
    shown = {"type": "video", "id": video.id}
    with pytest.raises(InvalidRequest) as refused:
        await load(context, tenant, (0, shown), (0, CAPTION))
    assert (refused.value.field, refused.value.code) == ("tracks[1].clips[0].clip.asset.src", "not_indexed")
    await speak(context, tenant, video)  # indexed, and nothing is said
    assert (await load(context, tenant, (0, shown), (0, CAPTION))).timeline.sentences == []


async def test_words_are_moved_with_their_clips_and_cut_with_them(
    context: Context, tenant: Tenant, video: Asset
) -> None:
    await speak(context, tenant, video, (1.0, "one two three"), (6.0, "later words"))
    loaded = await load(context, tenant, (10, {"type": "video", "id": video.id, "start": 1.5}), (0, CAPTION))
    assert [[word.text for word in said] for said in loaded.timeline.sentences] == [["two", "three"]]
    two = loaded.timeline.sentences[0][0]
    assert (two.start_seconds, two.end_seconds) == pytest.approx((10.0, 10.4))


async def test_a_video_that_is_shown_twice_is_captioned_once(
    context: Context, tenant: Tenant, video: Asset
) -> None:
    await speak(context, tenant, video, (0.0, "one two"))
    shown = {"type": "video", "id": video.id}
    loaded = await load(context, tenant, (0, shown), (0, shown), (0, CAPTION))
    assert len(loaded.timeline.sentences) == 1


async def test_the_old_timeline_names_an_unknown_asset(
    context: Context, tenant: Tenant, video: Asset
) -> None:
    async with context.db.transaction() as session:
        items = [{"asset_id": video.id}, {"asset_id": "img-1", "overlay_start": 0}]
        with pytest.raises(NotFound) as missing:
            await load_timeline(session, tenant.account_id, {"compile": items})
        assert missing.value.field == "timeline[1].asset_id"
        found = await load_timeline(session, tenant.account_id, {"compile": items[:1]})
    assert found.timeline.clips[0].duration_seconds == 10.0

"""A requested timeline with the assets that it uses and the words that it captions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest, NotFound
from app.domain.assets.models import Asset
from app.domain.assets.service import get_asset
from app.domain.operations.service import find_operation
from app.domain.timelines.compiled import file_asset, place_items, read_items
from app.domain.timelines.editor import read_editor_timeline
from app.domain.timelines.mistakes import mistake
from app.domain.timelines.subtitles import read_subtitle_style, subtitled
from app.domain.transcripts.models import Utterance
from app.domain.transcripts.service import index_subject, list_utterances
from app.media.editor.geometry import cropped
from app.media.editor.timeline import (
    AudioAsset,
    CaptionAsset,
    FileAsset,
    ImageAsset,
    PlacedClip,
    Timeline,
    VideoAsset,
    Word,
)

# What a clip may show: the sound of a video can be used alone.
_KINDS: dict[str, tuple[str, ...]] = {"video": ("video",), "audio": ("audio", "video"), "image": ("image",)}


@dataclass(frozen=True, slots=True)
class LoadedTimeline:
    """`assets` by their ids: every file that the timeline needs."""

    timeline: Timeline
    assets: Mapping[str, Asset]


async def load_timeline(session: AsyncSession, account_id: str, request: Mapping[str, Any]) -> LoadedTimeline:
    """Read `{"editor": timeline}`, of the old SDK `{"compile": items}`, or `{"subtitles": {asset_id,
    style}}`, and find what it needs.

    Raises `InvalidRequest` naming the clip and field that is wrong, `NotFound` naming the clip for an unknown
    asset and for another account's.
    """
    if "compile" in request:
        items = read_items(request["compile"])
        needed = [
            (f"timeline[{number}].asset_id", asset)
            for number, asset in enumerate(map(file_asset, items))
            if asset is not None
        ]
        assets = await _assets(session, account_id, needed)
        return LoadedTimeline(place_items(items, assets), assets)
    if "subtitles" in request:
        return await _subtitled(session, account_id, request["subtitles"])
    timeline = read_editor_timeline(request.get("editor"))
    needed = [
        (f"{clip.where}.clip.asset.id", clip.clip.asset)
        for clip in timeline.clips
        if isinstance(clip.clip.asset, VideoAsset | AudioAsset | ImageAsset)
    ]
    assets = await _assets(session, account_id, needed)
    for clip in timeline.clips:
        _check_crop(clip, assets)
    captions = [clip for clip in timeline.clips if _is_spoken(clip)]
    if captions:
        sentences = await _sentences(session, account_id, timeline.clips, captions[0].where)
        timeline = replace(timeline, sentences=sentences)
    return LoadedTimeline(timeline, assets)


async def _subtitled(session: AsyncSession, account_id: str, request: Mapping[str, Any]) -> LoadedTimeline:
    style = read_subtitle_style(request["style"])
    asset = await get_asset(session, account_id, request["asset_id"], kind="video")
    operation = await find_operation(session, account_id, index_subject(asset.id))
    if operation is None or operation.status != "done":
        raise InvalidRequest(
            f"{asset.id} has no transcript: call index_spoken_words first", code="not_indexed"
        )
    timeline = subtitled(asset, style, [])
    sentences = await _sentences(session, account_id, timeline.clips, "subtitle_style")
    return LoadedTimeline(replace(timeline, sentences=sentences), {asset.id: asset})


async def _assets(
    session: AsyncSession, account_id: str, needed: Sequence[tuple[str, FileAsset]]
) -> dict[str, Asset]:
    ids = {asset.id for _, asset in needed}
    rows = await session.scalars(
        select(Asset).where(Asset.id.in_(ids), Asset.account_id == account_id, Asset.deleted_at.is_(None))
    )
    found = {row.id: row for row in rows}
    for field, asset in needed:
        if asset.id not in found:
            raise NotFound(f"{field}: no {asset.type} {asset.id}", field=field)
        kind = found[asset.id].kind
        if kind not in _KINDS[asset.type]:
            raise mistake(field, f"{asset.id} is an {kind}, and cannot be used as {asset.type}")
    return found


def _check_crop(placed: PlacedClip, assets: Mapping[str, Asset]) -> None:
    asset = placed.clip.asset
    if not isinstance(asset, VideoAsset | ImageAsset):
        return
    row = assets[asset.id]
    if row.width and row.height:
        left = cropped(asset.crop, row.width, row.height)
        if not left.width or not left.height:
            raise mistake(f"{placed.where}.clip.asset.crop", "leaves nothing of the picture")


def _is_spoken(placed: PlacedClip) -> bool:
    return isinstance(placed.clip.asset, CaptionAsset) and placed.clip.asset.src == "auto"


async def _sentences(
    session: AsyncSession, account_id: str, clips: Iterable[PlacedClip], where: str
) -> list[list[Word]]:
    """What is said on the timeline: in its videos, or where none is indexed, in its audios."""
    indexed = False
    for kind in (VideoAsset, AudioAsset):
        said: dict[tuple[str, float], list[Word]] = {}
        for clip in clips:
            asset = clip.clip.asset
            if not isinstance(asset, kind):
                continue
            operation = await find_operation(session, account_id, index_subject(asset.id))
            indexed = indexed or (operation is not None and operation.status == "done")
            utterances, _ = await list_utterances(session, asset_id=asset.id)
            for utterance in utterances:
                words = _words(utterance, clip, asset.start)
                if words:
                    # One video may lie on the timeline twice at a time: as a whole and as a detail.
                    said.setdefault((words[0].text, round(words[0].start_seconds, 1)), words)
        if said:
            return sorted(said.values(), key=lambda words: words[0].start_seconds)
    if not indexed:
        field = f"{where}.clip.asset.src"
        message = f"{field}: no video of this timeline is indexed: call index_spoken_words first"
        raise InvalidRequest(message, field=field, code="not_indexed")
    return []


def _words(utterance: Utterance, placed: PlacedClip, asset_start_seconds: float) -> list[Word]:
    """The utterance's words that are heard in the clip, on the timeline's clock."""
    offset = placed.start_seconds - asset_start_seconds
    rows = utterance.words or [
        {"text": utterance.text, "start_us": utterance.start_us, "end_us": utterance.end_us}
    ]
    words = [
        Word(row["text"].strip(), offset + row["start_us"] / 1e6, offset + row["end_us"] / 1e6)
        for row in rows
    ]
    return [
        word
        for word in words
        if word.text and placed.start_seconds <= word.start_seconds < placed.end_seconds
    ]

"""The words of finished media: asked for once, found piece by piece, and taken from the live transcript where
what was recorded was transcribed while it was said."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.domain.assets.models import Asset
from app.domain.operations.callbacks import CALLBACK_FIELD, tell_of_success
from app.domain.operations.models import Operation
from app.domain.operations.service import OperationKind, request_operation, restart_operation
from app.domain.sessions.models import CaptureSession
from app.domain.streams.models import Stream
from app.domain.transcripts.models import TranscribedPiece, Transcription, Utterance
from app.domain.transcripts.service import Spoken, check_language, index_subject

# What search finds at once: a sentence, or several that belong together.


async def request_words(
    session: AsyncSession,
    asset: Asset,
    *,
    language: str | None = None,
    segmentation: str | None = None,
    force: bool = False,
    callback_url: str | None = None,
) -> Operation:
    """The operation that finds the asset's words and makes them searchable; the same one each time.

    With `force` they are found anew, and with what is asked for now; so are those whose search has failed.
    At `callback_url` the end is told. Raises `InvalidRequest` for what has no sound to listen to, and for a
    language or a segmentation that there is not.
    """
    check_language(language, "language_code")
    if segmentation not in (None, "sentence", "llm"):
        raise InvalidRequest("segmentation_type must be sentence or llm", field="segmentation_type")
    if asset.kind == "image":
        raise InvalidRequest(f"{asset.id} is an image: nothing is said in it")
    request = {
        "asset_id": asset.id,
        "collection_id": asset.collection_id,
        "language_code": language or None,
        "segmentation": segmentation or "sentence",
        "force": force,
    } | ({CALLBACK_FIELD: callback_url} if callback_url else {})
    operation = await request_operation(
        session, asset.account_id, OperationKind.INDEX_SPOKEN_WORDS, index_subject(asset.id), request
    )
    if operation.status == "failed" or (operation.status == "done" and force):
        if force or operation.request.get("language_code") != request["language_code"]:
            await forget_pieces(session, operation.id)
        operation.request = request
        await restart_operation(session, operation)
    elif callback_url and operation.request.get(CALLBACK_FIELD) != callback_url:
        operation.request = operation.request | {CALLBACK_FIELD: callback_url}
        if operation.status == "done":
            await tell_of_success(session, operation, operation.result or {})
    return operation


async def words_version(session: AsyncSession, asset_id: str) -> str:
    """A text that is another one whenever the asset's words have been found anew."""
    first = select(func.min(Utterance.id)).where(Utterance.asset_id == asset_id)
    return await session.scalar(first) or ""


async def save_piece(session: AsyncSession, operation_id: str, end_us: int, spoken: Sequence[Spoken]) -> None:
    """Keep what was understood up to `end_us`, once."""
    await session.execute(
        insert(TranscribedPiece)
        .values(operation_id=operation_id, end_us=end_us, spoken=[asdict(one) for one in spoken])
        .on_conflict_do_nothing()
    )


async def understood_until(session: AsyncSession, operation_id: str) -> int:
    """The microsecond from which on the asset has still to be listened to."""
    end_us: int | None = await session.scalar(
        select(func.max(TranscribedPiece.end_us)).where(TranscribedPiece.operation_id == operation_id)
    )
    return end_us or 0


async def list_pieces(session: AsyncSession, operation_id: str) -> list[Spoken]:
    """All that the operation has understood so far."""
    rows = await session.scalars(
        select(TranscribedPiece.spoken)
        .where(TranscribedPiece.operation_id == operation_id)
        .order_by(TranscribedPiece.end_us)
    )
    return [Spoken(**one) for spoken in rows for one in spoken]


async def forget_pieces(session: AsyncSession, operation_id: str) -> None:
    await session.execute(delete(TranscribedPiece).where(TranscribedPiece.operation_id == operation_id))


async def live_words(session: AsyncSession, asset: Asset, language: str | None) -> list[Spoken]:
    """What was understood of an exported recording while it was said, on the asset's clock and in its order.

    Nothing where one of the recorded sounds was never listened to, since what it says lies under the others,
    and where another language than `language` was heard.
    """
    zero_us = asset.started_at_us
    if zero_us is None:
        return []
    sounds = await _recorded_sounds(session, asset)
    transcribed = set(
        await session.scalars(select(Transcription.stream_id).where(Transcription.stream_id.in_(sounds)))
    )
    if transcribed != set(sounds):
        return []
    rows = await session.scalars(
        select(Utterance)
        .where(
            Utterance.stream_id.in_(sounds),
            Utterance.start_us >= zero_us,
            Utterance.start_us < zero_us + round(asset.length_seconds * 1e6),
        )
        .order_by(Utterance.start_us)
    )
    found = [_moved(row, zero_us) for row in rows]
    code = language.replace("_", "-").partition("-")[0].lower() if language else None
    return [] if code and any(one.language != code for one in found) else found


async def _recorded_sounds(session: AsyncSession, asset: Asset) -> list[str]:
    """The streams whose sound the asset holds: its own, or all that a session stored."""
    of_session = select(CaptureSession.id).where(CaptureSession.exported_video_id == asset.id)
    rows = await session.scalars(
        select(Stream.id).where(
            or_(
                Stream.exported_asset_id == asset.id,
                Stream.capture_session_id.in_(of_session) & Stream.store,
            ),
            Stream.media_type != "video",
            Stream.first_media_at.is_not(None),
        )
    )
    return list(rows)


def _moved(row: Utterance, zero_us: int) -> Spoken:
    words: list[dict[str, Any]] = [
        word | {"start_us": word["start_us"] - zero_us, "end_us": word["end_us"] - zero_us}
        for word in row.words
    ]
    return Spoken(row.text, row.start_us - zero_us, row.end_us - zero_us, row.language, words)

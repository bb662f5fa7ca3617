"""What an index has to do without, in words for whoever reads it."""

from collections.abc import Collection

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.indexes.models import SceneIndex

# By kind of index and engine, in the order in which they matter. Of a language model, which comes and goes,
# each record's own task tells.
_WITHOUT = {
    "visual": {
        "screen_text": "text on the screen is not read",
        "sentences": "records do not follow the prompt, and search and alerts go by words alone",
        "image_text": "pictures are not looked at, only the text on them",
    },
    "audio": {
        "speech": "speech is not recognised",
        "sentences": "records do not follow the prompt, and search and alerts go by words alone",
    },
}


def notice_of(kind: str, missing: Collection[str]) -> str | None:
    """A sentence for an index of this kind, for the engines that are `missing`; None where none matters."""
    without = [words for engine, words in _WITHOUT[kind].items() if engine in missing]
    return f"Some engines are missing (see /readyz): {'; '.join(without)}." if without else None


async def note_missing_engines(session: AsyncSession, missing: Collection[str]) -> None:
    """Let every index at work say what it has to do without now."""
    for kind in _WITHOUT:
        notice = notice_of(kind, missing)
        await session.execute(
            update(SceneIndex)
            .where(
                SceneIndex.kind == kind,
                SceneIndex.status.in_(("running", "building")),
                SceneIndex.engines_notice.is_distinct_from(notice),
            )
            .values(engines_notice=notice, updated_at=SceneIndex.updated_at)
        )

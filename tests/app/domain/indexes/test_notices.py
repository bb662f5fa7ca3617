from app.domain.indexes.models import SceneIndex
from app.domain.indexes.notices import note_missing_engines, notice_of
from app.process import Context
from tests.fixtures.factories import make_active, make_tenant
from tests.fixtures.indexing import make_index


def test_it_says_what_matters_to_the_kind() -> None:
    assert notice_of("visual", ()) is None
    assert notice_of("audio", ("screen_text", "image_text")) is None
    assert notice_of("audio", ("speech",)) == (
        "Some engines are missing (see /readyz): speech is not recognised."
    )
    both = notice_of("visual", ("image_text", "screen_text")) or ""
    assert both.index("text on the screen is not read") < both.index("pictures are not looked at")


async def test_an_index_at_work_says_it_and_says_no_more_when_it_is_over(context: Context) -> None:
    _, opened = await make_active(context, await make_tenant(context), ("display:1", "mic"))
    index_ids = [await make_index(context, opened["display:1"]) for _ in range(2)]
    async with context.db.transaction() as session:
        (await session.get_one(SceneIndex, index_ids[1])).status = "stopped"

    async def notices(*missing: str) -> list[str | None]:
        async with context.db.transaction() as session:
            await note_missing_engines(session, missing)
        async with context.db.transaction() as session:
            return [(await session.get_one(SceneIndex, one)).told_notice for one in index_ids]

    assert await notices("screen_text") == [notice_of("visual", ("screen_text",)), None]
    assert await notices() == [None, None]

import pytest

from app.base.errors import Conflict, InvalidRequest, NotFound
from app.domain.indexes import service as indexes
from app.domain.indexes.models import SceneIndex
from app.domain.streams.models import Stream
from app.process import Context
from tests.fixtures.factories import detach, events_named, make_active, make_tenant, stop_session
from tests.fixtures.indexing import AT_US, SECOND, make_alert, make_index, record


async def display_of(context: Context) -> str:
    _, opened = await make_active(context, await make_tenant(context), ("display:1",))
    return opened["display:1"]


async def test_an_index_wants_a_stream_with_its_kind_of_media(context: Context) -> None:
    _, opened = await make_active(context, await make_tenant(context), ("mic", "display:1"))
    with pytest.raises(InvalidRequest, match="no sound"):
        await make_index(context, opened["display:1"], extraction_type="transcript")
    with pytest.raises(InvalidRequest, match="no pictures"):
        await make_index(context, opened["mic:default"], extraction_type="time")


async def test_a_stopped_stream_is_not_indexed(context: Context) -> None:
    session_id, opened = await make_active(context, await make_tenant(context), ("display:1",))
    index_id = await make_index(context, opened["display:1"])
    await stop_session(context, session_id)
    await detach(context, opened["display:1"])
    with pytest.raises(Conflict, match="has stopped"):
        await make_index(context, opened["display:1"])
    async with context.db.transaction() as session:
        stream = await session.get_one(Stream, opened["display:1"])
        index = await session.get_one(SceneIndex, index_id)
        await indexes.stop_index(session, index)
        with pytest.raises(Conflict, match="has stopped"):
            await indexes.start_index(session, stream, index)


async def test_running_indexes_by_kind_and_stream(context: Context) -> None:
    _, opened = await make_active(context, await make_tenant(context), ("mic", "display:1"))
    visual = await make_index(context, opened["display:1"])
    stopped = await make_index(context, opened["display:1"])
    audio = await make_index(context, opened["mic:default"], extraction_type="transcript")
    async with context.db.transaction() as session:
        await indexes.stop_index(session, await session.get_one(SceneIndex, stopped))
        found = await indexes.running_indexes(session, "visual", list(opened.values()))
        assert [index.id for index in found[opened["display:1"]]] == [visual]
        found = await indexes.running_indexes(session, "audio", list(opened.values()))
        assert [index.id for index in found[opened["mic:default"]]] == [audio]


async def test_a_window_gives_one_record_and_one_event_however_often_it_is_saved(context: Context) -> None:
    index_id = await make_index(context, await display_of(context))
    first = await record(context, index_id, "A terminal with a failing test.")
    assert first is not None
    assert await record(context, index_id, "Something else.") is None
    (event,) = await events_named(context, "visual_index.record")
    visual, scene = event.payload["frames"]
    assert (visual["channel"], scene["channel"]) == ("visual_index", "scene_index")
    assert visual["event_id"] == scene["event_id"] == event.message_id
    assert visual["data"] == {
        "text": "A terminal with a failing test.",
        "start": AT_US // 1000,
        "end": AT_US // 1000 + 10_000,
    }


async def test_one_channel_where_one_is_set(context: Context) -> None:
    index_id = await make_index(context, await display_of(context))
    await record(context, index_id, "A browser.", channels=("scene_index",))
    (event,) = await events_named(context, "visual_index.record")
    assert [frame["channel"] for frame in event.payload["frames"]] == ["scene_index"]


async def test_records_by_time_and_page(context: Context) -> None:
    index_id = await make_index(context, await display_of(context))
    for number in (2, 0, 1):
        await record(context, index_id, f"Number {number}.", at_us=AT_US + 10 * number * SECOND)

    async def texts(
        start_us: int | None = None, end_us: int | None = None, offset: int = 0, limit: int = 9
    ) -> tuple[str, bool]:
        async with context.db.transaction() as session:
            rows, more = await indexes.list_records(
                session, index_id, start_us=start_us, end_us=end_us, offset=offset, limit=limit
            )
        return "".join(row.text[-2] for row in rows), more

    assert await texts() == ("012", False)
    assert await texts(limit=2) == ("01", True)
    assert await texts(offset=2, limit=1) == ("2", False)
    assert await texts(start_us=AT_US + 10 * SECOND, end_us=AT_US + 20 * SECOND) == ("1", False)


async def test_another_prompt(context: Context) -> None:
    stream_id = await display_of(context)
    index_id = await make_index(context, stream_id, prompt="What is open?")
    async with context.db.transaction() as session:
        index = await session.get_one(SceneIndex, index_id)
        since = index.prompt_changed_at
        await indexes.change_prompt(session, index, "Which errors are shown?")
        assert index.prompt_changed_at > since
        with pytest.raises(InvalidRequest):
            await indexes.change_prompt(session, index, " ")


async def test_an_index_is_its_streams_only(context: Context) -> None:
    index_id = await make_index(context, await display_of(context))
    other = await display_of(context)
    async with context.db.transaction() as session:
        with pytest.raises(NotFound):
            await indexes.get_stream_index(session, await session.get_one(Stream, other), index_id)


async def test_sockets_that_pipelines_name_hear_nothing_of_others(context: Context) -> None:
    """Contract §3: what no pipeline has named a socket for goes to those that none has named."""
    tenant = await make_tenant(context)
    _, opened = await make_active(context, tenant, ("display:1", "display:2"))
    index_id = await make_index(context, opened["display:1"])
    named = await make_index(context, opened["display:2"], ws_connection_id="ws-index")
    await make_alert(context, named, ws_connection_id="ws-alert")
    await record(context, index_id, "For everybody else.")
    await record(context, named, "For one.")
    everybody, one = await events_named(context, "visual_index.record")
    assert everybody.route is not None
    assert one.route is not None
    assert everybody.route["connection_id"] is None
    assert set(everybody.route["except_connection_ids"]) == {"ws-index", "ws-alert"}
    assert one.route["connection_id"] == "ws-index"

"""Screen recordings, rendered, cut, read by the real engines, and indexed; by workers that die, too."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from app.api.given_scenes import read_given_scenes
from app.base.errors import Unprocessable
from app.base.settings import Settings
from app.domain.assets.models import Asset
from app.domain.erasure.service import erase_asset
from app.domain.indexes.extraction import read_recorded_extraction
from app.domain.indexes.models import IndexRecord, SceneIndex, ScreenFrame
from app.domain.operations.models import Operation
from app.domain.passages.models import Passage
from app.domain.scenes.describing import request_description
from app.domain.scenes.indexing import WantedIndex, delete_recorded_index, request_index
from app.domain.scenes.models import Scene, SceneCollection
from app.domain.scenes.service import list_scenes, request_extraction
from app.engines.contract import ModelMissing
from app.process import Context
from tests.fixtures.captures import speech
from tests.fixtures.desktops import desktop
from tests.fixtures.doomed_indexing import INDEXING_POINTS
from tests.fixtures.factories import Tenant, make_tenant
from tests.fixtures.screen_recordings import store_recording, write_screens
from workers.engines.rapidocr_local import RapidOcrLocal
from workers.tasks import index_recording
from workers.tasks.recorded_parts import NO_SPEECH
from workers.tasks.run_operation import run_operation

MAIL = desktop(
    "Mail - Inbox", ["Messages", "Lunch on Friday?", "Your invoice is ready"], width=640, height=360
)
BUILD = desktop(
    "Terminal - make test", ["Build failed", "error: no module foo"], width=640, height=360, dark=True
)
EVERY_TWO: dict[str, Any] = {"extraction_type": "time", "config": {"time": 2}}
LEASE_SECONDS = 1.0


@pytest.fixture
async def tenant(context: Context) -> Tenant:
    return await make_tenant(context)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of mail, six of a build, six of the mail again; no sound."""
    path = tmp_path_factory.mktemp("recording") / "screen.mp4"
    return write_screens(path, [(MAIL, 6.0), (BUILD, 6.0), (MAIL, 6.0)])


@pytest.fixture
async def asset(context: Context, tenant: Tenant, recording: Path) -> Asset:
    return await store_recording(context, tenant, recording)


async def requested(context: Context, asset: Asset, **more: Any) -> tuple[str, str]:
    """The ids of a new index and of the operation that builds it."""
    config = more.pop("config", None)
    extraction = read_recorded_extraction(more.pop("extraction_type", "time"), config, asset.length_seconds)
    async with context.db.transaction() as session:
        index, operation = await request_index(session, asset, WantedIndex(extraction, **more))
        return index.id, operation.id


async def built(context: Context, asset: Asset, **more: Any) -> SceneIndex:
    index_id, operation_id = await requested(context, asset, **more)
    await run_operation(context, operation_id)
    return (await rows(context, SceneIndex, SceneIndex.id == index_id))[0]


async def rows(context: Context, table: type[Any], *which: Any) -> list[Any]:
    async with context.db.transaction() as session:
        return list(await session.scalars(select(table).where(*which).order_by(table.created_at)))


async def records(context: Context, index_id: str) -> list[IndexRecord]:
    found = await rows(context, IndexRecord, IndexRecord.index_id == index_id)
    return sorted(found, key=lambda record: record.start_us)


async def test_a_shot_becomes_a_record_of_what_the_screen_shows(
    context: Context, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_readings(monkeypatch)
    index = await built(
        context,
        asset,
        extraction_type="shot",
        prompt="Which errors does the build show?",
        metadata={"team": "x"},
    )
    assert (index.status, index.notice, index.kind) == ("ready", None, "visual")
    mail, build, again = await records(context, index.id)
    assert [record.start_us for record in (mail, build, again)] == [0, 6_000_000, 12_000_000]
    assert again.end_us == pytest.approx(18_000_000, abs=200_000)
    assert mail.text.startswith("The screen shows “Mail - Inbox”")
    assert "error: no module foo" in build.text
    assert build.details["metadata"] == {"team": "x"}
    assert read == [3]
    found = await rows(context, Passage, Passage.asset_id == asset.id)
    assert {passage.kind for passage in found} == {"visual"}
    assert all(passage.due_at is None for passage in found)  # with their vectors

    other = await built(context, asset, extraction_type="shot", prompt="Which mails are there?")
    assert len(await records(context, other.id)) == 3
    assert read == [3]  # the same scenes, the same pictures: nothing is read again


async def test_an_unchanged_screen_is_kept_and_read_once(
    context: Context, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count_readings(monkeypatch)
    index = await built(context, asset, **EVERY_TWO)
    found = await records(context, index.id)
    assert [record.start_us for record in found] == [number * 2_000_000 for number in range(9)]
    assert [record.text.startswith("The screen still shows") for record in found] == [
        number not in (0, 3, 6) for number in range(9)
    ]
    assert read == [3]
    frames = await rows(context, ScreenFrame, ScreenFrame.asset_id == asset.id)
    assert sorted(frame.at_us for frame in frames) == [0, 6_000_000, 12_000_000]


def count_readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list whose one number counts the pictures that the engine reads."""
    counted, read = [0], RapidOcrLocal.read

    def counting(self: RapidOcrLocal, picture: bytes) -> Any:
        counted[0] += 1
        return read(self, picture)

    monkeypatch.setattr(RapidOcrLocal, "read", counting)
    return counted


async def test_the_same_way_of_cutting_gives_the_same_scenes(context: Context, asset: Asset) -> None:
    extraction = read_recorded_extraction(
        "time", {"time": 6, "select_frames": ["first", "last"]}, asset.length_seconds
    )

    async def extracted(**more: Any) -> tuple[str, list[Scene]]:
        async with context.db.transaction() as session:
            collection, operation = await request_extraction(session, asset, extraction, **more)
        await run_operation(context, operation.id)
        async with context.db.transaction() as session:
            return collection.id, await list_scenes(session, collection.id)

    first_id, scenes = await extracted()
    assert [scene.start_us for scene in scenes] == [0, 6_000_000, 12_000_000]
    assert [[look["at_us"] for look in scene.frames] for scene in scenes[:2]] == [
        [0, 5_999_999],
        [6_000_000, 11_999_999],
    ]
    again_id, again = await extracted()
    assert (again_id, [scene.id for scene in again]) == (first_id, [scene.id for scene in scenes])
    forced_id, forced = await extracted(force=True)
    assert forced_id == first_id
    assert [scene.frames for scene in forced] == [scene.frames for scene in scenes]
    assert {scene.id for scene in forced}.isdisjoint(scene.id for scene in scenes)
    keys = await context.storage.list_keys(f"{asset.account_id}/screens/{asset.id}/")
    assert len(keys) == 3


async def test_given_scenes_are_indexed_as_given_and_the_others_described(
    context: Context, asset: Asset
) -> None:
    given = [
        {"start": 0, "end": 6, "description": "Ada reads her mail", "metadata": {"who": "Ada"}},
        {"start": 6, "end": 12, "description": None, "frames": [{"frame_time": 7.5}]},
    ]
    scenes = read_given_scenes(given, asset.length_seconds)
    index = await built(context, asset, scenes=scenes, metadata={"who": "all"})
    ada, described = await records(context, index.id)
    assert (ada.text, ada.start_us, ada.end_us) == ("Ada reads her mail", 0, 6_000_000)
    assert ada.details["metadata"] == {"who": "Ada"}
    assert "Build failed" in described.text
    assert await rows(context, SceneCollection) == []


async def test_a_scene_and_a_frame_are_described_on_request(context: Context, asset: Asset) -> None:
    extraction = read_recorded_extraction("shot", {}, asset.length_seconds)
    async with context.db.transaction() as session:
        collection, operation = await request_extraction(session, asset, extraction)
    await run_operation(context, operation.id)
    async with context.db.transaction() as session:
        _, build, _ = await list_scenes(session, collection.id)
        frame = await session.get_one(ScreenFrame, build.frames[0]["frame_id"])
        of_scene = await request_description(session, asset, build, prompt="errors")
        of_frame = await request_description(session, asset, frame, prompt=None)
    for one in (of_scene, of_frame):
        await run_operation(context, one.id)
        (done,) = await rows(context, Operation, Operation.id == one.id)
        assert "error: no module foo" in done.result["description"]
    async with context.db.transaction() as session:
        assert (await session.get_one(Scene, build.id)).description
        assert (await session.get_one(ScreenFrame, frame.id)).description


async def test_what_cannot_be_indexed_says_why(
    context: Context, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    unheard = await built(context, asset, extraction_type="transcript")
    assert unheard.status == "failed"
    assert "no sound" in (unheard.notice or "")

    def missing(self: RapidOcrLocal) -> None:
        raise ModelMissing("rapidocr is not installed")

    monkeypatch.setattr(RapidOcrLocal, "load", missing)
    unread = await built(context, asset)
    assert unread.status == "failed"
    assert "rapidocr is not installed" in (unread.notice or "")
    assert await records(context, unread.id) == []  # and no text that nobody has read
    with pytest.raises(Unprocessable, match="no pictures"):
        await requested(context, sound_alone(asset))


def sound_alone(asset: Asset) -> Asset:
    return Asset(id=asset.id, account_id=asset.account_id, length_seconds=9.0, width=None)


async def test_what_is_said_is_indexed_by_sentences(context: Context, tenant: Tenant, tmp_path: Path) -> None:
    spoken = speech("two_cities.wav", 1.0, 8.5)
    path = write_screens(tmp_path / "talk.mp4", [(MAIL, 8.0)], sound=spoken)
    talk = await store_recording(context, tenant, path)
    index = await built(
        context,
        talk,
        extraction_type="transcript",
        config={"segmenter": "sentence", "segmentation_value": 1},
        prompt="What were the times like?",
    )
    found = await records(context, index.id)
    assert (index.status, index.kind, index.notice) == ("ready", "audio", None)
    assert "best of times" in found[0].text.lower()
    assert {passage.kind for passage in await rows(context, Passage, Passage.index_id == index.id)} == {
        "audio"
    }
    words = await built(context, talk, extraction_type="transcript")  # the words are there already
    by_words = await records(context, words.id)
    assert len(by_words) < len(found)  # ten words go on over the end of a sentence
    assert joined_text(by_words) == joined_text(found)

    quiet = write_screens(tmp_path / "quiet.mp4", [(MAIL, 3.0)], sound=np.zeros(3 * 48_000, np.float32))
    silence = await built(
        context, await store_recording(context, tenant, quiet), extraction_type="transcript"
    )
    assert (silence.status, silence.notice) == ("ready", NO_SPEECH)


def joined_text(found: list[IndexRecord]) -> str:
    return " ".join(record.text for record in found)


async def test_an_index_that_is_deleted_while_it_is_built_leaves_nothing(
    context: Context, asset: Asset, monkeypatch: pytest.MonkeyPatch
) -> None:
    index_id, operation_id = await requested(context, asset, **EVERY_TWO)
    describe, described = index_recording._describe, []

    async def delete_after_the_first(*of: Any) -> str | None:
        described.append(await describe(*of))
        async with context.db.transaction() as session:
            if (index := await session.get(SceneIndex, index_id)) is not None:
                await delete_recorded_index(session, index)
        return None

    monkeypatch.setattr(index_recording, "_describe", delete_after_the_first)
    await run_operation(context, operation_id)
    assert len(described) == 1
    assert await rows(context, IndexRecord) == []
    assert await rows(context, Operation, Operation.id == operation_id) == []


async def test_erasing_a_recording_leaves_nothing_of_its_scenes(context: Context, asset: Asset) -> None:
    await built(context, asset, **EVERY_TWO)
    async with context.db.transaction() as session:
        operation = await erase_asset(session, await session.get_one(Asset, asset.id))
    await run_operation(context, operation.id)
    for table in (Asset, SceneIndex, IndexRecord, SceneCollection, Scene, ScreenFrame, Passage):
        assert await rows(context, table) == []
    assert [one.id for one in await rows(context, Operation)] == [operation.id]
    assert await context.storage.list_keys(f"{asset.account_id}/") == []


@pytest.mark.slow
async def test_killed_at_any_point_it_goes_on_where_it_was(
    context: Context, settings: Settings, tenant: Tenant, asset: Asset, recording: Path
) -> None:
    wanted = await built(context, asset, **EVERY_TWO)
    expected = [record.text for record in await records(context, wanted.id)]
    environment = os.environ | {
        "DATABASE_URL": settings.database_url or "",
        "REDIS_URL": settings.redis_url or "",
        "CAPTURE_DATA_DIR": str(settings.data_dir),
        "CAPTURE_EXPORT_LEASE_SECONDS": str(LEASE_SECONDS),
        "CAPTURE_SECRET_KEY": "test-secret",
    }

    async def recovered(point: str) -> list[str]:
        own = await store_recording(context, tenant, recording)
        index_id, operation_id = await requested(context, own, **EVERY_TWO)
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fixtures.doomed_indexing", operation_id, point, env=environment
        )
        assert await asyncio.wait_for(worker.wait(), 90) == -signal.SIGKILL, point
        deadline = time.monotonic() + 60
        while (await rows(context, Operation, Operation.id == operation_id))[0].status != "done":
            assert time.monotonic() < deadline, f"not recovered from a kill at: {point}"
            await run_operation(context, operation_id)
            await asyncio.sleep(0.1)
        assert len(await context.storage.list_keys(f"{own.account_id}/screens/{own.id}/")) == 3, point
        return [record.text for record in await records(context, index_id)]

    for texts in await asyncio.gather(*(recovered(point) for point in INDEXING_POINTS)):
        assert texts == expected

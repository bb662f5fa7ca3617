"""The real app on a port of its own, and finished media to play, made on the spot."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn

from app.base.settings import Settings
from app.domain.accounts.credentials import create_account
from app.domain.assets.models import Asset
from app.domain.assets.playback import add_playback
from app.domain.assets.service import AssetKind, add_asset, new_asset_id
from app.domain.collections.service import default_collection
from app.domain.transcripts.service import Spoken, replace_asset_utterances
from app.main import create_app
from app.media.export import ExportedFile
from app.process import Context
from tests.fixtures.media import START_US, beeps, export_recording, h264_frames, opus_packets, record
from workers.tasks.store_media import store_media

START_SECONDS = 20


@dataclass(frozen=True)
class Library:
    """Stores finished media in the server's own database and storage, as the export task does."""

    context: Context
    account_id: str
    collection_id: str

    async def add(self, exported: ExportedFile, *, name: str = "Monday's stand-up") -> Asset:
        kind: AssetKind = "video" if exported.has_video else "audio"
        asset_id = new_asset_id(kind)
        file = await store_media(
            self.context, exported, account_id=self.account_id, asset_id=asset_id, started_at_us=START_US
        )
        async with self.context.db.transaction() as session:
            return await add_asset(
                session,
                asset_id=asset_id,
                account_id=self.account_id,
                collection_id=self.collection_id,
                kind=kind,
                name=name,
                file=file,
            )

    async def cut(self, *parts: tuple[Asset, float, float], title: str = "A cut") -> str:
        """The slug of a playback of these `(asset, start, end)` parts, times in seconds."""
        async with self.context.db.transaction() as session:
            return (await add_playback(session, self.account_id, parts, title=title)).slug

    async def say(self, asset: Asset, *lines: tuple[float, str]) -> None:
        """Give the asset utterances: when each begins, in seconds, and its words, 0.5 s each."""
        async with self.context.db.transaction() as session:
            await replace_asset_utterances(
                session, asset.id, "op-1", [spoken(at, text) for at, text in lines]
            )


def spoken(start_seconds: float, text: str) -> Spoken:
    start_us = round(start_seconds * 1e6)
    words = [
        {"text": word, "start_us": start_us + 500_000 * number, "end_us": start_us + 500_000 * (number + 1)}
        for number, word in enumerate(text.split())
    ]
    return Spoken(text, start_us, start_us + 500_000 * len(words), "en", words)


@pytest.fixture
async def library(context: Context) -> Library:
    async with context.db.transaction() as session:
        account_id = await create_account(session, "pages")
        collection = await default_collection(session, account_id)
    return Library(context, account_id, collection.id)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportedFile, bytes]:
    """Twelve seconds of picture and sound with a key frame every two, and the file's bytes."""
    folder = tmp_path_factory.mktemp("recording")
    video = record(h264_frames(seconds=12.0, width=640, height=360), folder, "display")
    audio = record(opus_packets(beeps(12.0)), folder, "mic")
    exported = export_recording(video, [audio], folder / "out.mp4")
    return exported, exported.path.read_bytes()


@pytest.fixture
async def video(library: Library, recording: tuple[ExportedFile, bytes], tmp_path: Path) -> Asset:
    """The recording as an asset."""
    exported, data = recording
    await asyncio.to_thread(exported.path.write_bytes, data)  # storing it moves the file away
    return await library.add(exported)


@pytest.fixture
def base_url(settings: Settings) -> Iterator[str]:
    """The URL of the real app, served by uvicorn in a thread with an event loop of its own."""
    # A slug alone is a link here: how links expire is tested by itself.
    served = settings.model_copy(update={"doors": ("api", "pages"), "media_url_seconds": 0})
    app = create_app(served)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        assert thread.is_alive(), "the server has ended"
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(START_SECONDS)
    assert not thread.is_alive()


@pytest.fixture
async def client(base_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=base_url, timeout=10) as opened:
        yield opened

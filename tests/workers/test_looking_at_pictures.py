"""Real photos through a real image-text model: what they show is in records, found by search, and alerts."""

import io
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, update

from app.base.ids import new_id
from app.domain.alerts import service as alerts
from app.domain.alerts.models import AlertFiring
from app.domain.indexes.models import IndexRecord, IndexWindow, SceneIndex, ScreenFrame
from app.domain.indexes.windows import add_screen, add_window
from app.domain.passages.models import Passage
from app.engines.clip.encoder import OpenClip
from app.engines.contract import EngineFailed, likelihood
from app.engines.registry import open_image_text_engine
from app.process import Context
from app.storage.keys import screen_key
from tests.fixtures.factories import Tenant, make_active, make_tenant
from tests.fixtures.indexing import AT_US, SECOND, make_index
from tests.fixtures.web import Web
from workers.describing.pictures import kind_of_picture
from workers.tasks.index_window import index_window
from workers.tasks.read_screen import read_screen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("open_clip") is None or find_spec("torch") is None,
        reason="the extra `vision` is not installed",
    ),
]

# Queries in words of their own, not those of the model's classes.
QUERIES = {
    "chelsea": ["a cat", "close-up of a kitten face"],
    "coffee": ["a cup of coffee", "an espresso on a table"],
    "rocket": ["a rocket launch", "a missile on the launch pad"],
    "horse": ["black horse shape"],
    "clock_motion": ["a clock on the wall"],
    "china": ["a chinese temple", "a palace building"],
    "flower": ["a flower", "a red blossom"],
    "camera": ["a man with a camera on a tripod", "photographer"],
    "motorcycle_left": ["a motorbike in a garage"],
}


@pytest.fixture(scope="module")
def engine(image_text_folder: Path) -> OpenClip:
    opened = OpenClip("ViT-B-32", str(image_text_folder / "image-text"), "auto", image_text_folder)
    opened.load()
    return opened


def test_photos_are_found_by_what_they_show(engine: OpenClip, photos: dict[str, bytes]) -> None:
    names = list(photos)
    pictures = engine.encode_pictures(list(photos.values()))
    assert np.linalg.norm(pictures, axis=1) == pytest.approx(1.0, abs=1e-4)
    first, own, other = [], [], []
    for name, queries in QUERIES.items():
        for logits in engine.encode_texts(queries) @ pictures.T:
            first.append(names[int(logits.argmax())] == name)
            own.append(likelihood(logits)[names.index(name)])
            other += [one for at, one in enumerate(likelihood(logits)) if names[at] != name]
    assert np.mean(first) >= 0.85
    assert np.median(own) >= 0.7
    assert np.percentile(other, 99) < 0.7  # what alerts take for a match


def test_a_kind_is_named_where_it_is_certain_and_else_nothing_is(
    engine: OpenClip, photos: dict[str, bytes]
) -> None:
    vectors = dict(zip(photos, engine.encode_pictures(list(photos.values())), strict=True))
    named = {name: kind_of_picture(list(vector), engine.encode_texts) for name, vector in vectors.items()}
    assert (named["chelsea"], named["coffee"]) == ("a cat", "a cup of coffee")
    right = {
        "chelsea": "a cat",
        "coffee": "a cup of coffee",
        "flower": "a flower",
        "rocket": "a rocket",
        "china": "a temple",
        "clock_motion": "a clock",
        "camera": "a camera",
        "horse": "a horse",
        "motorcycle_left": "a motorcycle",
    }
    assert {name: kind for name, kind in named.items() if kind and kind != right.get(name)} == {}
    rng = np.random.default_rng(5)
    nothing = [np.full((300, 400, 3), 40), rng.integers(0, 255, (300, 400, 3))]
    for vector in engine.encode_pictures([encoded(pixels) for pixels in nothing]):
        assert kind_of_picture(list(vector), engine.encode_texts) is None


def test_what_is_no_picture_is_an_engines_failure(engine: OpenClip) -> None:
    with pytest.raises(EngineFailed):
        engine.encode_pictures([b"no picture"])


def test_the_record_of_the_engine_names_its_weights(engine: OpenClip) -> None:
    record = engine.record
    assert (record.engine, record.missing, record.compute_type) == ("open_clip", None, "float32")
    assert record.model.startswith("image-text@")
    assert record.model == engine.space


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


class Display:
    """A display with an index and an alert, whose every picture fills a window of ten seconds."""

    def __init__(self, context: Context, account_id: str, stream_id: str, index_id: str) -> None:
        self.context, self.account_id = context, account_id
        self.stream_id, self.index_id, self._shown = stream_id, index_id, 0

    async def show(self, picture: bytes) -> IndexRecord:
        frame_id, start_us = new_id("frm"), AT_US + 10 * SECOND * self._shown
        self._shown += 1
        key = screen_key(self.account_id, self.stream_id, frame_id)
        await self.context.storage.put_bytes(key, picture)
        async with self.context.db.transaction() as session:
            await add_screen(
                session,
                frame_id=frame_id,
                stream_id=self.stream_id,
                storage_key=key,
                at_us=start_us,
                width=400,
                height=300,
            )
            end_us = start_us + 10 * SECOND
            await add_window(session, self.index_id, start_us=start_us, end_us=end_us, frame_ids=[frame_id])
        await read_screen(self.context, frame_id)
        async with self.context.db.transaction() as session:
            window_id = await session.scalar(select(IndexWindow.id).where(IndexWindow.start_us == start_us))
        assert window_id is not None
        await index_window(self.context, window_id)
        async with self.context.db.transaction() as session:
            record = await session.scalar(select(IndexRecord).where(IndexRecord.start_us == start_us))
        assert record is not None
        return record


async def display(context: Context, tenant: Tenant, rule: str = "a palace building is shown") -> Display:
    _, opened = await make_active(context, tenant, ("display:1",))
    index_id = await make_index(context, opened["display:1"])
    async with context.db.transaction() as session:
        index = await session.get_one(SceneIndex, index_id)
        rule_id = await alerts.create_rule(session, tenant.account_id, prompt=rule, label="sight")
        await alerts.create_alert(session, index, rule_id, callback_url=None, ws_connection_id=None)
    return Display(context, tenant.account_id, opened["display:1"], index_id)


@pytest.fixture
def looking(web: Web, engine: OpenClip, image_text_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Web:
    """The web process whose settings name the built model, loaded already."""
    monkeypatch.setattr("app.engines.registry._open_clip", lambda *_: engine)
    return web


async def search(web: Web, tenant: Tenant, query: str) -> list[str]:
    """The texts of what is found, best first."""
    async with web.client(tenant.api_key) as client:
        answer = await client.post("/rtstream/collection/default/search", json={"query": query})
    assert answer.status_code == httpx.codes.OK, answer.text
    return [row["text"] for row in answer.json()["data"]["results"]]


async def test_what_is_shown_is_described_found_and_alerted(looking: Web, photos: dict[str, bytes]) -> None:
    tenant = await make_tenant(looking.context)
    screen = await display(looking.context, tenant)
    cat = await screen.show(photos["chelsea"])
    coffee = await screen.show(photos["coffee"])
    temple = await screen.show(photos["china"])
    assert "It looks like a picture of a cat." in cat.text
    assert cat.details["picture"] == "a cat"
    # No word of these queries stands in any record.
    async with looking.context.db.transaction() as session:
        pictures = list(await session.scalars(select(Passage).where(Passage.picture_space.is_not(None))))
        assert {one.record_id for one in pictures} == {cat.id, coffee.id, temple.id}
        assert {(one.text, one.due_at) for one in pictures} == {("", None)}
        fired = list(await session.scalars(select(AlertFiring)))
    assert [one.record_id for one in fired] == [temple.id]
    assert fired[0].confidence >= 0.7
    assert fired[0].explanation.startswith("The picture at ")
    async with looking.client(tenant.api_key) as client:
        answer = await client.post("/rtstream/collection/default/search", json={"query": "a palace building"})
    best = answer.json()["data"]["results"][0]
    assert best["start"] == temple.start_us / 1e6
    assert best["score"] >= 0.7
    # Another account's pictures are not among them.
    other = await make_tenant(looking.context)
    assert await search(looking, other, "a palace building") == []


async def test_vectors_of_two_models_are_never_compared(looking: Web, photos: dict[str, bytes]) -> None:
    tenant = await make_tenant(looking.context)
    screen = await display(looking.context, tenant)
    await screen.show(photos["china"])
    assert len(await search(looking, tenant, "a palace building")) == 1
    async with looking.context.db.transaction() as session:
        await session.execute(update(Passage).values(picture_space="another model"))
        await session.execute(update(ScreenFrame).values(picture_space="another model"))
    assert await search(looking, tenant, "a palace building") == []


async def test_without_the_engine_records_are_made_and_search_says_what_it_lacks(
    web: Web, engine: OpenClip, photos: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await make_tenant(web.context)
    missing = OpenClip("ViT-B-32", None, "auto", tmp_path)
    monkeypatch.setattr("app.engines.registry._open_clip", lambda *_: missing)
    screen = await display(web.context, tenant)
    record = await screen.show(photos["chelsea"])
    assert record.text == "The screen shows no text."
    assert "picture" not in record.details
    assert "capture models fetch" in (open_image_text_engine(web.context.settings).record.missing or "")
    async with web.client(tenant.api_key) as client:
        wanted = {"query": "a cat"}
        answer = (await client.post("/collection/default/search/v2", json=wanted)).json()["data"]
        assert answer["warnings"] == []  # there are no pictures to be searched
        async with web.context.db.transaction() as session:
            await session.execute(
                update(Passage)
                .values(picture_space="a model", picture_vector=[0.5] * 4)
                .returning(Passage.id)
            )
        answer = (await client.post("/collection/default/search/v2", json=wanted)).json()["data"]
    assert [one["code"] for one in answer["warnings"]] == ["pictures_not_searched"]

"""Checks 58, 59 and 69: files in, by both SDKs, and signed URLs that let nobody else in."""

import wave
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.conformance.playback import play
from tests.fixtures.captures import write_screen
from tests.fixtures.eventually import eventually
from tests.fixtures.http_ranges import serve
from tests.fixtures.media import tone
from tests.fixtures.sdks import NEWEST, Sdk
from tests.fixtures.stack import RunningStack
from tests.fixtures.webhooks import WebhookReceiver


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    write_screen(folder / "clip.of.mp4", "display:1", 2.0)
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((tone(1.0, rate_hz=16_000) * 32_767).astype("<i2").tobytes())
    Image.new("RGB", (40, 30), "red").save(folder / "picture.png")
    (folder / "notes.txt").write_text("no media")
    return {path.name: str(path) for path in folder.iterdir()}


UPLOAD = """
made = conn.get_collection().upload(file_path=path)
emit({"class": type(made).__name__, "id": made.id, "name": made.name, "length": getattr(made, "length", None),
      "url": getattr(made, "stream_url", None) or getattr(made, "url", None)})
"""


@pytest.mark.parametrize(
    ("name", "kind", "prefix", "called", "seconds"),
    [
        ("clip.of.mp4", "Video", "m-", "clip", 2.0),
        ("sound.wav", "Audio", "a-", "sound", 1.0),
        ("picture.png", "Image", "img-", "picture", None),
    ],
)
def test_check_58_files_are_told_by_their_content(
    py: Sdk, files: dict[str, str], name: str, kind: str, prefix: str, called: str, seconds: float | None
) -> None:
    made = py.run(UPLOAD, path=files[name])
    assert (made["class"], made["id"].startswith(prefix)) == (kind, True)
    assert made["name"].startswith(called)
    if seconds is not None and made["length"] is not None:
        assert float(made["length"]) == pytest.approx(seconds, abs=0.1)
    if kind == "Video":
        assert play(made["url"]).seconds == pytest.approx(2.0, abs=0.15)
    if kind == "Image":
        assert httpx.get(made["url"]).headers["content-type"] == "image/png"


def test_check_58_with_a_callback_url_nothing_is_raised(
    pythons: dict[str, Sdk], files: dict[str, str]
) -> None:
    made = pythons[NEWEST].run(
        "made = conn.upload(file_path=path, callback_url='http://127.0.0.1:9/'); emit(made and made.id)",
        path=files["picture.png"],
    )
    assert made is None or made.startswith("img-")


def test_check_59_node_uploads_without_a_name(node: Sdk, files: dict[str, str]) -> None:
    made = node.run(
        """
        const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
        const coll = await conn.getCollection();
        const made = await coll.uploadFile({ filePath: path });
        emit({ id: made.id, kind: made.constructor.name });
        """,
        path=files["clip.of.mp4"],
    )
    assert made["id"].startswith("m-")
    assert made["kind"] == "Video"


def upload_url(client: httpx.Client) -> str:
    found: str = client.get("/collection/default/upload_url", params={"name": "x"}).json()["data"][
        "upload_url"
    ]
    return found


def test_check_59_a_tampered_url_is_refused(stack: RunningStack) -> None:
    with stack.client() as client:
        url = upload_url(client)
        for wrong in (url[:-2] + ("aa" if url[-2:] != "aa" else "bb"), url.rpartition("/")[0] + "/nothing"):
            assert httpx.post(wrong, files={"file": ("x", b"data")}).status_code == 403
            assert httpx.get(wrong).status_code == 403
            assert client.post("/collection/default/upload", json={"url": wrong}).status_code == 403


def test_a_url_takes_one_file_and_gives_it_back(stack: RunningStack) -> None:
    with stack.client() as client:
        url = upload_url(client)
        assert client.post("/collection/default/upload", json={"url": url}).status_code == 404
    assert httpx.get(url).status_code == 404
    assert httpx.post(url, files={"file": ("x", b"some bytes")}).json()["success"] is True
    assert httpx.post(url, files={"file": ("x", b"other bytes")}).status_code == 409
    read = httpx.get(url)
    assert read.content == b"some bytes"
    assert read.headers["content-disposition"] == "attachment"


def test_what_is_no_media_and_what_is_elsewhere_is_refused(
    pythons: dict[str, Sdk], files: dict[str, str], stack: RunningStack
) -> None:
    said = pythons[NEWEST].run(
        """
        try:
            conn.upload(file_path=path)
        except videodb.exceptions.InvalidRequestError as error:
            emit(str(error))
        """,
        path=files["notes.txt"],
    )
    assert "no video, audio or image" in said
    with stack.client() as client:
        for url in (
            "file:///etc/passwd",
            "http://10.0.0.1/x.mp4",
            "http://name.invalid/x.mp4",
            "https://www.youtube.com/watch?v=x",
            "http://127.0.0.1/live.m3u8",
        ):
            answered = client.post("/collection/default/upload", json={"url": url})
            assert (answered.status_code, answered.json()["field"]) == (400, "url")


def test_check_58_files_elsewhere_are_fetched(py: Sdk, files: dict[str, str]) -> None:
    with serve(Path(files["clip.of.mp4"]).parent) as elsewhere:
        made = py.run(
            """
            coll = conn.get_collection()
            video = coll.upload(url=url + "/clip.of.mp4")
            try:
                coll.upload(url=url + "/nothing.mp4")
            except videodb.exceptions.InvalidRequestError as error:
                said = str(error)
            emit({"id": video.id, "name": video.name, "url": video.stream_url, "said": said})
            """,
            url=elsewhere,
        )
    assert made["id"].startswith("m-")
    assert made["name"] == "clip.of"
    assert play(made["url"]).seconds == pytest.approx(2.0, abs=0.15)
    assert "url: its server answered 404" in made["said"]


def test_check_59_node_uploads_by_url(node: Sdk, files: dict[str, str]) -> None:
    with serve(Path(files["picture.png"]).parent) as elsewhere:
        made = node.run(
            """
            const conn = videodb.connect({ apiKey: api_key, baseUrl: base_url });
            const coll = await conn.getCollection();
            const made = await coll.uploadURL({ url: url + '/picture.png' });
            emit({ id: made.id, kind: made.constructor.name });
            """,
            url=elsewhere,
        )
    assert made["id"].startswith("img-")


async def test_check_58_the_callback_of_an_upload_gets_the_final_envelope(
    pythons: dict[str, Sdk], files: dict[str, str], webhooks: WebhookReceiver
) -> None:
    made = pythons[NEWEST].run(
        "emit(conn.upload(file_path=path, callback_url=callback).id)",
        path=files["picture.png"],
        callback=webhooks.url,
    )
    await eventually(lambda: bool(webhooks.received))
    told = webhooks.received[0].body
    assert told["success"] is True
    assert told["data"]["id"] == made


def test_the_same_upload_url_gives_the_same_asset_again(stack: RunningStack, files: dict[str, str]) -> None:
    with stack.client() as client:
        url = upload_url(client)
        httpx.post(url, files={"file": ("x", Path(files["picture.png"]).read_bytes())})
        made = [client.post("/collection/default/upload", json={"url": url}).json() for _ in range(2)]
        assert made[0]["data"]["id"] == made[1]["data"]["id"]
        named = client.patch(f"/image/{made[0]['data']['id']}", json={"name": "another"}).json()
        assert named["data"]["name"] == "another"
        assert client.patch(f"/video/{made[0]['data']['id']}", json={"name": "another"}).status_code == 404


def test_check_68_images_are_listed_linked_and_deleted(
    pythons: dict[str, Sdk], files: dict[str, str]
) -> None:
    found = pythons[NEWEST].run(
        """
        coll = conn.get_collection()
        image = coll.upload(file_path=path)
        seen = [one.id for one in coll.get_images()]
        link = image.generate_url()
        image.delete()
        left = [one.id for one in coll.get_images()]
        emit({"listed": image.id in seen, "link": link, "left": image.id in left})
        """,
        path=files["picture.png"],
    )
    assert (found["listed"], found["left"]) == (True, False)
    assert httpx.get(found["link"]).status_code == 404  # it has been deleted
    assert Path(found["link"]).suffix == ".png"

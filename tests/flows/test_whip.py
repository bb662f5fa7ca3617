"""WHIP over HTTP (RFC 9725): what a publisher is answered, whatever it sends."""

import asyncio

import httpx
import pytest

from app.media.frames import Codec
from tests.fixtures.capture import DISPLAY, MIC, CaptureDriver, capture_driver
from tests.fixtures.publisher import AudioTrack, Publisher, VideoTrack
from tests.fixtures.stack import RunningStack

SDP = {"content-type": "application/sdp"}


async def test_publishing_is_answered_with_a_resource_that_can_be_deleted(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY)
        publication = await driver.publish("mic:default", AudioTrack())
        assert publication.etag.startswith('"')
        assert publication.etag.endswith('"')
        assert publication.resource.startswith(driver.channels["mic:default"]["whip_url"] + "/")
        assert (await driver.wait_for("active"))["status"] == "active"
        assert (await driver.unpublish(publication)).status_code == 200
        assert (await driver.unpublish(publication)).status_code == 404
        await publication.publisher.close()


async def test_the_first_media_makes_the_session_active_within_three_seconds(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY)
        publication = await driver.publish("display:1", VideoTrack(Codec.VP8))
        session = await driver.wait_for("active", seconds=5)
        assert [row["name"] for row in session["rtstreams"]] == ["display:1", "mic:default", "display:1"]
        await publication.publisher.close()


async def test_a_second_publisher_is_refused_while_the_first_lives(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        first = await driver.publish("mic:default", AudioTrack())
        second = Publisher(AudioTrack())
        refused = await driver.offer("mic:default", await second.offer())
        assert (refused.status_code, refused.json()["error_code"]) == (409, "already_published")
        await driver.unpublish(first)
        assert (await retry_until_free(driver, "mic:default", await second.offer())).status_code == 201
        await first.publisher.close()
        await second.close()


async def test_a_publisher_that_comes_back_goes_on_in_the_same_stream(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        first = await driver.publish("mic:default", AudioTrack())
        before = await driver.wait_for("active")
        await first.publisher.close()  # DTLS says goodbye: no waiting for silence
        second = Publisher(AudioTrack())
        answer = await retry_until_free(driver, "mic:default", await second.offer())
        await second.accept(answer.text)
        await asyncio.sleep(1.5)
        await driver.stop()
        await second.close()
        after = await driver.wait_for("exported")
        assert [row["id"] for row in after["rtstreams"]] == [row["id"] for row in before["rtstreams"]]


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"content-type": "text/plain"}, "v=0", 415),
        ({"content-type": "application/json"}, "{}", 415),
        (SDP, "", 400),
        (SDP, "not an offer", 400),
        (SDP, b"\xff\xfe\x00", 400),
        (SDP, "v=0\r\n" * 20_000, 413),
    ],
)
async def test_what_is_no_offer_is_refused(
    stack: RunningStack, headers: dict[str, str], content: str | bytes, status: int
) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        url = driver.channels["mic:default"]["whip_url"]
        bearer = {"authorization": f"Bearer {driver.token}"}
        answer = await driver.http.post(url, content=content, headers=bearer | headers)
        assert (answer.status_code, answer.json()["success"]) == (status, False)
        # A refused offer must not keep the channel: the right one is taken afterwards.
        publication = await driver.publish("mic:default", AudioTrack())
        await publication.publisher.close()


async def test_a_picture_is_refused_on_a_sound_channel(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        publisher = Publisher(VideoTrack())
        answer = await driver.offer("mic:default", await publisher.offer())
        assert 400 <= answer.status_code < 500
        assert answer.json()["success"] is False
        await publisher.close()


async def test_credentials(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        url = driver.channels["mic:default"]["whip_url"]
        async with httpx.AsyncClient() as anyone:
            missing = await anyone.post(url, content="v=0", headers=SDP)
            wrong = await anyone.post(url, content="v=0", headers=SDP | {"authorization": "Bearer st-wrong"})
        assert (missing.status_code, wrong.status_code) == (401, 401)
        assert missing.headers["www-authenticate"] == "Bearer"
        unknown = await driver.http.post(f"{stack.base_url}/whip/rts-unknown", content="v=0", headers=SDP)
        assert unknown.status_code == 404


async def test_options_need_no_credential_and_allow_browsers(stack: RunningStack) -> None:
    async with httpx.AsyncClient() as anyone:
        answer = await anyone.request(
            "OPTIONS",
            f"{stack.base_url}/whip/rts-any",
            headers={"origin": "https://app.example", "access-control-request-method": "POST"},
        )
    assert 200 <= answer.status_code < 300
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert {"Location", "ETag", "Link"} <= set(
        answer.headers["access-control-expose-headers"].replace(" ", "").split(",")
    )
    assert answer.headers["accept-post"] == "application/sdp"


async def test_a_stopped_session_takes_no_media(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        await driver.stop()
        await driver.wait_for("stopped")
        publisher = Publisher(AudioTrack())
        answer = await driver.offer("mic:default", await publisher.offer())
        assert (answer.status_code, answer.json()["error_code"]) == (409, "session_not_live")
        await publisher.close()


async def retry_until_free(driver: CaptureDriver, channel_id: str, sdp: str) -> httpx.Response:
    """Offer until the publisher before has been seen to be gone, as reconnecting publishers do."""
    for _ in range(100):
        answer = await driver.offer(channel_id, sdp)
        if answer.status_code != 409:
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError("the channel never became free")

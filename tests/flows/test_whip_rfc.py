"""RFC 9725 point by point: what each method of the endpoint and of the resource is answered."""

import asyncio
import re
from urllib.parse import urljoin

import httpx
import pytest

from app.base.settings import IceServer, Settings
from tests.fixtures.capture import (
    DISPLAY,
    MIC,
    SYSTEM_AUDIO,
    CaptureDriver,
    Publication,
    capture_driver,
)
from tests.fixtures.eventually import eventually
from tests.fixtures.publisher import AudioTrack, Publisher, VideoTrack
from tests.fixtures.stack import RunningStack
from tests.fixtures.web import Web, running_web

FRAGMENT = "application/trickle-ice-sdpfrag"
CANDIDATE = "a=candidate:1 1 udp 2122260223 {address} 61764 typ {kind}\r\n"


def fragment_of(offer_sdp: str, *lines: str) -> str:
    """A trickle fragment of the ICE session that the offer began (RFC 8840 section 9)."""
    credentials = re.findall(r"a=ice-(?:ufrag|pwd):\S+", offer_sdp)[:2]
    head = ["m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"]
    return "".join(f"{line}\r\n" for line in (*credentials, *head)) + "".join(lines)


class Published:
    """A channel being published and what PATCH is sent to it."""

    def __init__(self, driver: CaptureDriver, publication: Publication, offer_sdp: str) -> None:
        self.driver = driver
        self.publication = publication
        self.offer_sdp = offer_sdp

    async def patch(self, content: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.driver.http.patch(
            self.publication.resource,
            content=content,
            headers={
                "authorization": f"Bearer {self.driver.token}",
                "content-type": FRAGMENT,
                **named,
            },
        )


async def publish(driver: CaptureDriver) -> Published:
    publisher = Publisher(AudioTrack())
    offer = await publisher.offer()
    answer = await driver.offer("mic:default", offer)
    assert answer.status_code == 201
    await publisher.accept(answer.text)
    resource = urljoin(driver.channels["mic:default"]["whip_url"], answer.headers["location"])
    return Published(driver, Publication(publisher, resource, answer.headers["etag"]), offer)


async def test_the_answer_is_recvonly_sdp_with_every_candidate(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        publisher = Publisher(AudioTrack())
        answer = await driver.offer("mic:default", await publisher.offer())
        assert answer.status_code == 201
        assert answer.headers["content-type"] == "application/sdp"
        assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])
        assert answer.headers["access-control-allow-origin"] == "*"
        for line in ("a=recvonly", "a=rtcp-mux", "a=setup:passive", "a=end-of-candidates"):
            assert f"{line}\r\n" in answer.text
        assert "a=candidate:" in answer.text
        await publisher.close()


async def test_trickled_candidates_are_taken_and_unusable_ones_passed_over(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        published = await publish(driver)
        content = fragment_of(
            published.offer_sdp,
            CANDIDATE.format(address="127.0.0.1", kind="host"),
            CANDIDATE.format(address="0f6f2a6c-4f3c-4b5e-9a59-1.local", kind="host"),
            CANDIDATE.format(address="127.0.0.1", kind="host").replace(" udp ", " tcp "),
            "a=end-of-candidates\r\n",
        )
        for if_match in (published.publication.etag, "*", f'"other", {published.publication.etag}'):
            answer = await published.patch(content, if_match=if_match)
            assert (answer.status_code, answer.content) == (204, b"")
            assert "etag" not in answer.headers
        assert (await driver.wait_for("active"))["status"] == "active"
        await published.publication.publisher.close()


async def test_a_publisher_can_trickle_all_of_its_candidates(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        publisher = Publisher(AudioTrack())
        offer = await publisher.offer()
        candidates = re.findall(r"a=candidate:.*\r\n", offer)
        assert candidates
        answer = await driver.offer(
            "mic:default", re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offer)
        )
        await publisher.accept(answer.text)
        resource = urljoin(driver.channels["mic:default"]["whip_url"], answer.headers["location"])
        published = Published(driver, Publication(publisher, resource, answer.headers["etag"]), offer)
        taken = await published.patch(fragment_of(offer, *candidates), if_match=answer.headers["etag"])
        assert taken.status_code == 204
        assert (await driver.wait_for("active"))["status"] == "active"
        await publisher.close()


async def test_what_a_patch_may_not_be(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        published = await publish(driver)
        good, etag = fragment_of(published.offer_sdp), published.publication.etag
        restart = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n"
        for status, content, headers in (
            (415, good, {"if_match": etag, "content_type": "application/sdp"}),
            (400, "no fragment", {"if_match": etag}),
            (400, "a=mid:0\r\n", {"if_match": etag}),
            (400, good + "a=candidate:nonsense\r\n", {"if_match": etag}),
            (428, good, {}),
            (412, good, {"if_match": '"another"'}),
            (428, restart, {}),
            (412, restart, {"if_match": '"another"'}),
        ):
            answer = await published.patch(content, **headers)
            assert (answer.status_code, answer.json()["success"]) == (status, False), content
            assert answer.headers["access-control-allow-origin"] == "*"
        # None of it ended the session, and it can still be trickled to.
        assert (await published.patch(good, if_match=etag)).status_code == 204
        assert (await driver.wait_for("active"))["status"] == "active"
        await published.publication.publisher.close()


async def test_an_ice_restart_has_an_entity_tag_of_its_own(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        published = await publish(driver)
        etag = published.publication.etag
        restart = "a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n"
        await driver.wait_for("active")  # this publisher knows of no restart: it has to be connected before
        answer = await published.patch(restart, if_match="*")
        assert (answer.status_code, answer.headers["content-type"]) == (200, FRAGMENT)
        assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])
        assert answer.headers["etag"] != etag
        for line in ("a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"):
            assert line in answer.text
        # Candidates of the session before the restart are late; those of the new one are taken.
        assert (await published.patch(fragment_of(published.offer_sdp), if_match=etag)).status_code == 412
        trickled = await published.patch(restart, if_match=answer.headers["etag"])
        assert (trickled.status_code, "etag" in trickled.headers) == (204, False)
        again = await published.patch(restart.replace("ysXw", "zsXw"), if_match=answer.headers["etag"])
        assert again.status_code == 200
        assert again.headers["etag"] not in (etag, answer.headers["etag"])
        assert (await driver.unpublish(published.publication)).status_code == 200
        await published.publication.publisher.close()


async def test_a_session_takes_sound_and_picture_in_one_offer(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(SYSTEM_AUDIO, MIC, {"channel_id": "display:2", "type": "video"}, DISPLAY)
        publisher = Publisher(VideoTrack(), beside=AudioTrack())
        publication = await driver.publish_at(driver.whip_url, publisher)
        assert publication.resource.startswith(driver.whip_url + "/")
        await driver.wait_for("active")
        # The mic and the primary display are taken now, the other channels are free.
        refused = {name: await driver.offer(name, await offer_for(name)) for name in driver.channels}
        assert {name: answer.status_code for name, answer in refused.items()} == {
            "mic:default": 409,
            "system_audio:default": 201,
            "display:2": 409,
            "display:1": 201,
        }
        answer = await driver.http.patch(
            publication.resource,
            content="a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n",
            headers={"authorization": f"Bearer {driver.token}", "content-type": FRAGMENT, "if-match": "*"},
        )
        assert answer.status_code == 200
        assert (await driver.unpublish(publication)).status_code == 200
        assert (await driver.unpublish(publication)).status_code == 404

        async def free() -> bool:
            rows = await driver.offer_at(driver.whip_url, again_offer)
            return rows.status_code == 201

        again = Publisher(AudioTrack(), beside=VideoTrack())
        again_offer = await again.offer()
        await eventually(free)  # once what was sent has been stored
        await asyncio.gather(publisher.close(), again.close())


async def test_a_sessions_endpoint_takes_at_most_one_track_of_a_kind(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC, SYSTEM_AUDIO, DISPLAY)
        twice = Publisher(AudioTrack(), beside=AudioTrack())
        answer = await driver.offer_at(driver.whip_url, await twice.offer())
        assert (answer.status_code, answer.json()["error_code"]) == (422, "offer_refused")
        alone = await driver.publish_at(driver.whip_url, Publisher(VideoTrack()))
        both = Publisher(AudioTrack(), beside=VideoTrack())
        taken = await driver.offer_at(driver.whip_url, await both.offer())
        assert (taken.status_code, taken.json()["error_code"]) == (409, "already_published")
        # Nothing was taken in part: the sound is free.
        sound = await driver.publish("mic:default", AudioTrack())
        await asyncio.gather(*(one.close() for one in (twice, both, alone.publisher, sound.publisher)))


async def test_a_session_that_was_not_started_takes_nothing(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        publisher = Publisher(AudioTrack())
        url = f"{stack.base_url}/whip/{driver.session_id}"
        answer = await driver.offer_at(url, await publisher.offer())
        assert (answer.status_code, answer.json()["error_code"]) == (409, "session_not_live")
        await publisher.close()


async def offer_for(channel_id: str) -> str:
    publisher = Publisher(VideoTrack() if channel_id.startswith("display") else AudioTrack())
    offer = await publisher.offer()
    await publisher.close()
    return offer


async def test_delete_ignores_entity_tags_and_ends_the_session(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        published = await publish(driver)
        bearer = {"authorization": f"Bearer {driver.token}"}
        answer = await driver.http.delete(
            published.publication.resource, headers=bearer | {"if-match": '"another"'}
        )
        assert answer.status_code == 200
        gone = await published.patch(fragment_of(published.offer_sdp), if_match=published.publication.etag)
        assert gone.status_code == 404
        await published.publication.publisher.close()


async def test_other_methods_are_reserved(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        published = await publish(driver)
        endpoint = driver.channels["mic:default"]["whip_url"]
        bearer = {"authorization": f"Bearer {driver.token}"}
        for url, methods in (
            (endpoint, ("GET", "HEAD", "PUT", "PATCH", "DELETE")),
            (published.publication.resource, ("GET", "HEAD", "PUT", "POST")),
        ):
            for method in methods:
                answer = await driver.http.request(method, url, headers=bearer)
                assert answer.status_code == 405, (method, url)
        await published.publication.publisher.close()


async def test_options_say_what_is_taken_and_ask_for_no_credential(stack: RunningStack) -> None:
    preflight = {"origin": "https://app.example", "access-control-request-method": "PATCH"}
    async with httpx.AsyncClient() as anyone:
        for path in ("/whip/rts-any", "/whip/rts-any/resource"):
            answer = await anyone.options(stack.base_url + path, headers=preflight)
            assert answer.is_success
            assert answer.headers["accept-post"] == "application/sdp"
            allowed = answer.headers["access-control-allow-methods"].replace(" ", "").split(",")
            assert {"POST", "PATCH", "DELETE"} <= set(allowed)
            assert "If-Match" in answer.headers["access-control-allow-headers"]
            assert "link" not in answer.headers  # a TURN password is for publishers only
    assert answer.headers["accept-patch"] == FRAGMENT


async def test_one_resource_is_one_track_and_nothing_is_half_accepted(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        sound, picture = Publisher(AudioTrack()), Publisher(VideoTrack())
        offers = [await sound.offer(), await picture.offer()]
        both = offers[0] + offers[1][offers[1].index("m=video") :]
        twice = offers[0] + offers[0][offers[0].index("m=audio") :]
        for offer in (both, twice):
            answer = await driver.offer("mic:default", offer)
            assert (answer.status_code, answer.json()["error_code"]) == (422, "offer_refused")
        assert (await driver.offer("mic:default", offers[0])).status_code == 201
        await asyncio.gather(sound.close(), picture.close())


async def test_no_post_is_ever_redirected_to_a_get(stack: RunningStack) -> None:
    async with capture_driver(stack) as driver:
        await driver.start(MIC)
        for url in (driver.channels["mic:default"]["whip_url"] + "/", f"{stack.base_url}//whip/rts-any"):
            answer = await driver.http.post(
                url, content="v=0", headers={"content-type": "application/sdp"}, follow_redirects=False
            )
            assert answer.status_code not in (301, 302)


TURN = IceServer.model_validate(
    {"urls": "turn:turn.example.net?transport=udp", "username": 'us"er', "credential": "pass\\word"}
)


@pytest.mark.parametrize("limit", [1, 2])
async def test_ice_servers_are_linked_and_a_full_server_says_when_to_come_back(
    limit: int, settings: Settings
) -> None:
    servers = (IceServer(urls="stun:stun.example.net"), TURN)
    async with running_web(
        settings.model_copy(update={"ice_servers": servers, "max_publishers": limit})
    ) as web:
        urls, token = await started(web)
        publishers = [Publisher(AudioTrack()) for _ in urls]
        async with web.client() as http:
            answers = [
                await http.post(
                    url,
                    content=await publisher.offer(),
                    headers={"authorization": f"Bearer {token}", "content-type": "application/sdp"},
                )
                for url, publisher in zip(urls, publishers, strict=True)
            ]
        assert [answer.status_code for answer in answers] == [201] * limit + [503] * (2 - limit)
        assert answers[0].headers.get_list("link") == [
            '<stun:stun.example.net>; rel="ice-server"',
            '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="us\\"er"; '
            'credential="pass\\\\word"; credential-type="password"',
        ]
        if limit == 1:
            assert answers[1].headers["retry-after"].isdigit()
            assert answers[1].headers["access-control-allow-origin"] == "*"
        await asyncio.gather(*(publisher.close() for publisher in publishers))


async def started(web: Web) -> tuple[list[str], str]:
    """The WHIP paths of a new session's two audio channels, and a client token for them."""
    from app.domain.accounts.credentials import create_account, create_api_key

    async with web.context.db.transaction() as session:
        key = await create_api_key(session, await create_account(session, "rfc"), name="rfc")
    channels = [MIC, {"channel_id": "system_audio:default", "type": "audio"}]
    async with web.client(key) as http:
        created = await http.post("/collection/default/capture/session", json={"end_user_id": "rfc"})
        token = (await http.post("/capture/session/token", json={"expires_in": 600})).json()["data"]["token"]
        answer = await http.post(
            "/capture/session/start",
            json={"session_id": created.json()["data"]["session_id"], "channels": channels},
            headers={"x-access-token": token},
        )
    rows = answer.json()["data"]["channels"]
    return [httpx.URL(row["whip_url"]).path for row in rows], token

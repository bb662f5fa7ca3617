"""A real browser publishes by WHIP from another origin: its microphone and a canvas, candidates trickled."""

import asyncio
import io
import json
from pathlib import Path

import av
import pytest

from tests.fixtures.capture import DISPLAY, MIC, capture_driver, download
from tests.fixtures.chromium import blank_page, open_chromium
from tests.fixtures.stack import RunningStack

pytestmark = pytest.mark.slow

PUBLISHED_SECONDS = 4.0
FLAGS = (
    "--use-fake-device-for-media-stream",
    "--auto-accept-camera-and-microphone-capture",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
)
PUBLISH = """
globalThis.publish = async (url, token, stream) => {
  const headers = {Authorization: `Bearer ${token}`};
  const connection = new RTCPeerConnection();
  connection.addTransceiver(stream.getTracks()[0], {direction: "sendonly", streams: [stream]});
  const candidates = [];
  const gathered = new Promise(done => {
    connection.onicecandidate = ({candidate}) => candidate?.candidate
      ? candidates.push(`a=${candidate.candidate}\\r\\n`) : candidate ?? done();
  });
  await connection.setLocalDescription();
  // Sent before anything is gathered: every candidate is trickled.
  const offer = connection.localDescription.sdp.replace(/a=candidate:.*\\r\\n/g, "");
  const answer = await fetch(url, {
    method: "POST", headers: {...headers, "Content-Type": "application/sdp"}, body: offer});
  if (answer.status !== 201) throw new Error(`POST: ${answer.status} ${await answer.text()}`);
  const resource = new URL(answer.headers.get("Location"), url).href;
  await connection.setRemoteDescription({type: "answer", sdp: await answer.text()});
  await gathered;
  const credentials = offer.match(/a=ice-(?:ufrag|pwd):.*\\r\\n/g).slice(0, 2).join("");
  const patched = await fetch(resource, {
    method: "PATCH",
    headers: {
      ...headers, "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": answer.headers.get("ETag")},
    body: credentials + "m=audio 9 UDP/TLS/RTP/SAVPF 0\\r\\na=mid:0\\r\\n" + candidates.join("")});
  if (patched.status !== 204) throw new Error(`PATCH: ${patched.status} ${await patched.text()}`);
  globalThis.published = [...(globalThis.published ?? []), {connection, resource, headers}];
  return candidates.length;
};
globalThis.draw = () => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 640, height: 360});
  const pen = canvas.getContext("2d");
  let count = 0;
  setInterval(() => {
    pen.fillStyle = `hsl(${count++ * 7} 80% 50%)`;
    pen.fillRect(0, 0, 640, 360);
    pen.fillStyle = "white";
    pen.fillRect((count * 5) % 600, 100, 40, 160);
  }, 66);
  return canvas.captureStream(15);
};
globalThis.unpublish = async () => {
  const statuses = [];
  for (const {connection, resource, headers} of published) {
    statuses.push((await fetch(resource, {method: "DELETE", headers})).status);
    connection.close();
  }
  return statuses;
};
"""


async def test_chromium_publishes_its_microphone_and_a_canvas(stack: RunningStack, tmp_path: Path) -> None:
    async with (
        capture_driver(stack) as driver,
        open_chromium(tmp_path, *FLAGS) as page,
        blank_page() as publisher_url,
    ):
        await driver.start(MIC, DISPLAY)
        await page.goto(publisher_url)
        await page.evaluate(PUBLISH)
        mic, display = (
            f"{json.dumps(driver.channels[name]['whip_url'])}, {json.dumps(driver.token)}"
            for name in ("mic:default", "display:1")
        )
        await page.evaluate(
            "(async () => { globalThis.mic = await navigator.mediaDevices.getUserMedia({audio: true}); })()"
        )
        assert await page.evaluate(f"publish({mic}, globalThis.mic)") > 0
        assert await page.evaluate(f"publish({display}, draw())") > 0
        await page.wait_for("published.every(one => one.connection.connectionState === 'connected')")
        await driver.wait_for("active")
        await asyncio.sleep(PUBLISHED_SECONDS)
        assert await page.evaluate("unpublish()") == [200, 200]
        await driver.stop()
        session = await driver.wait_for("exported", "failed")
        assert session["status"] == "exported"
        seconds = {}
        for row in session["rtstreams"]:
            with av.open(io.BytesIO(await download(driver, row["exported_asset_id"]))) as container:
                times = [float(frame.time or 0) for frame in container.decode(container.streams[0])]
                seconds[row["name"]] = times[-1] - times[0]
        assert set(seconds) == {"mic:default", "display:1"}
        assert min(seconds.values()) > PUBLISHED_SECONDS - 1.5
        assert [one for one in page.complaints if "favicon" not in one] == []

"""Publishers that others made send sound and picture in one offer to a session's own WHIP URL."""

import asyncio
import io
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from tests.fixtures.capture import DISPLAY, MIC, CaptureDriver, capture_driver, download
from tests.fixtures.chromium import blank_page, open_chromium
from tests.fixtures.stack import RunningStack
from tests.flows.test_chromium_publishes import FLAGS, PUBLISH

pytestmark = pytest.mark.slow

PUBLISHED_SECONDS = 6.0
CONNECTING_SECONDS = 8.0  # GStreamer counts them as published; on a busy machine it takes four
SLACK_SECONDS = 1.5
GSTREAMER_PUBLISHER = Path(__file__).parents[1] / "fixtures" / "gstreamer_publisher.py"
SYSTEM_PYTHON = "/usr/bin/python3"  # GStreamer's bindings are the system's

ONE_OFFER = (
    PUBLISH
    + """
const gathered = peer => new Promise(done => {
  const look = () => peer.iceGatheringState === "complete" && done();
  peer.addEventListener("icegatheringstatechange", look);
  look();
});
globalThis.publishBoth = async (url, token) => {
  const sound = await navigator.mediaDevices.getUserMedia({audio: true});
  const peer = new RTCPeerConnection({bundlePolicy: "max-bundle"});
  for (const track of [...sound.getTracks(), ...draw().getTracks()])
    peer.addTransceiver(track, {direction: "sendonly", streams: [sound]});
  await peer.setLocalDescription();
  await gathered(peer);
  const headers = {Authorization: `Bearer ${token}`};
  const answer = await fetch(url, {
    method: "POST", headers: {...headers, "Content-Type": "application/sdp"},
    body: peer.localDescription.sdp});
  if (answer.status !== 201) throw new Error(`POST: ${answer.status} ${await answer.text()}`);
  const resource = new URL(answer.headers.get("Location"), url).href;
  await peer.setRemoteDescription({type: "answer", sdp: await answer.text()});
  globalThis.published = [{connection: peer, resource, headers}];
};
globalThis.restartIce = async () => {
  const [{connection: peer, resource, headers}] = published;
  const before = peer.remoteDescription.sdp;
  peer.restartIce();
  await peer.setLocalDescription();
  await gathered(peer);
  const lines = peer.localDescription.sdp.split("\\r\\n");
  const body = [
    lines.find(line => line.startsWith("a=ice-ufrag:")), lines.find(line => line.startsWith("a=ice-pwd:")),
    "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0", ...lines.filter(line => line.startsWith("a=candidate:")),
    "a=end-of-candidates", ""].join("\\r\\n");
  const answer = await fetch(resource, {
    method: "PATCH", body,
    headers: {...headers, "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*"}});
  if (answer.status !== 200) throw new Error(`PATCH: ${answer.status} ${await answer.text()}`);
  if (!answer.headers.get("ETag")) throw new Error("no ETag");
  const [ufrag, pwd] = ["ufrag", "pwd"].map(name => `a=ice-${name}:`);
  const text = await answer.text();
  const theirs = start => text.split("\\r\\n").find(line => line.startsWith(start));
  const sdp = before.split("\\r\\n").map(line =>
    line.startsWith(ufrag) ? theirs(ufrag) : line.startsWith(pwd) ? theirs(pwd) : line).join("\\r\\n");
  await peer.setRemoteDescription({type: "answer", sdp});
  return theirs(ufrag).slice(ufrag.length);
};
// The fragment of ours that the browser's checks name, once one of them has been answered.
globalThis.connectedTo = async () => {
  const stats = await published[0].connection.getStats();
  const transport = [...stats.values()].find(one => one.type === "transport");
  const pair = stats.get(transport.selectedCandidatePairId);
  return transport.iceState === "connected" && pair && stats.get(pair.remoteCandidateId).usernameFragment;
};
"""
)


async def published_by(stack: RunningStack, *argv: str) -> bytes:
    """Run a publisher that is told the session's URL and a token by its arguments; returns the export."""
    async with capture_driver(stack) as driver:
        await driver.start(MIC, DISPLAY)
        told = [one.format(url=driver.whip_url, token=driver.token) for one in argv]
        await asyncio.to_thread(run, told)
        return await exported(driver)


def run(argv: Sequence[str]) -> None:
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert ended.returncode == 0, ended.stderr[-3000:]


async def exported(driver: CaptureDriver) -> bytes:
    await driver.stop()
    session = await driver.wait_for("exported", "failed")
    assert session["status"] == "exported"
    assert {row["name"]: bool(row["exported_asset_id"]) for row in session["rtstreams"]} == {
        "display:1": True,
        "mic:default": True,
    }
    return await download(driver, session["exported_video_id"])


def check(recording: bytes, frames_per_second: float) -> None:
    """Every picture decodes, there are as many as were sent, and every second has sound."""
    with av.open(io.BytesIO(recording)) as container:
        video = container.streams.video[0]
        video.codec_context.options = {"err_detect": "explode"}
        times = []
        for picture in container.decode(video):
            assert not picture.is_corrupt
            times.append(float(picture.time or 0))
    assert times[-1] - times[0] > PUBLISHED_SECONDS - SLACK_SECONDS
    assert len(times) > (PUBLISHED_SECONDS - SLACK_SECONDS) * frames_per_second * 0.9
    assert max(np.diff(times)) < 1.0
    loud_seconds = set()
    with av.open(io.BytesIO(recording)) as container:
        for frame in container.decode(audio=0):
            if np.abs(frame.to_ndarray()).max() > 0.01:
                loud_seconds.add(int(frame.time or 0))
    assert loud_seconds >= set(range(1, int(PUBLISHED_SECONDS - SLACK_SECONDS)))


async def test_ffmpeg_publishes_sound_and_picture(stack: RunningStack) -> None:
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    recording = await published_by(
        stack,
        *(ffmpeg, "-hide_banner", "-loglevel", "warning", "-re"),
        *("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=15"),
        *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"),
        *("-t", str(PUBLISHED_SECONDS), "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-tune", "zerolatency"),
        *("-g", "30", "-bf", "0", "-threads", "1", "-c:a", "libopus", "-ac", "2"),
        *("-f", "whip", "-authorization", "{token}", "{url}"),
    )
    check(recording, 15)


async def test_gstreamer_publishes_sound_and_picture(stack: RunningStack) -> None:
    recording = await published_by(
        *(stack, SYSTEM_PYTHON, str(GSTREAMER_PUBLISHER), "{url}", "{token}"),
        str(PUBLISHED_SECONDS + CONNECTING_SECONDS),
    )
    check(recording, 15)


async def test_chromium_publishes_both_in_one_offer_and_restarts_ice(
    stack: RunningStack, tmp_path: Path
) -> None:
    async with (
        capture_driver(stack) as driver,
        open_chromium(tmp_path, *FLAGS) as page,
        blank_page() as publisher_url,
    ):
        await driver.start(MIC, DISPLAY)
        await page.goto(publisher_url)
        await page.evaluate(ONE_OFFER)
        await page.evaluate(f"publishBoth({json.dumps(driver.whip_url)}, {json.dumps(driver.token)})")
        first = await page.wait_for("connectedTo()")
        await driver.wait_for("active")
        await asyncio.sleep(PUBLISHED_SECONDS / 2)
        second = await page.evaluate("restartIce()")
        assert second != first
        await page.wait_for(f"connectedTo().then(fragment => fragment === {json.dumps(second)})")
        await asyncio.sleep(PUBLISHED_SECONDS / 2)
        assert await page.evaluate("unpublish()") == [200]
        assert [one for one in page.complaints if "favicon" not in one] == []
        check(await exported(driver), 10)

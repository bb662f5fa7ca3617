"""Bench child: GStreamer's webrtcbin recording whatever is published to it into a folder, as fragmented MP4.

It is run by the system's Python, which has the bindings: `apt-get install gstreamer1.0-nice
gstreamer1.0-plugins-{base,good,bad} python3-gi gir1.2-gst-plugins-bad-1.0` (1.22 in Debian 12). Python only
carries the offers and answers: from the socket to the file all is GStreamer's.
"""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

FRAGMENT_MILLISECONDS = 1000
LIMIT_SECONDS = 20.0
END_SECONDS = 2.0
_TO_FRAMES = {"H264": "rtph264depay ! h264parse", "OPUS": "rtpopusdepay ! opusparse"}


class Recording:
    """One connection and its file."""

    def __init__(self, gst: Any, number: int, folder: Path) -> None:
        self._gst = gst
        self._path = folder / f"{number}.mp4"
        self._pipeline = gst.Pipeline.new(f"recording-{number}")
        self._webrtc = gst.ElementFactory.make("webrtcbin")
        self._webrtc.set_property("bundle-policy", 3)  # max-bundle
        self._pipeline.add(self._webrtc)
        self._webrtc.connect("pad-added", self._on_pad)
        self._gathered = threading.Event()
        self._webrtc.connect("notify::ice-gathering-state", self._on_gathering)
        self._entry: Any = None
        self._pipeline.set_state(gst.State.PLAYING)

    def answer(self, sdp: str, web_rtc: Any, gst_sdp: Any) -> str:
        """Return the answer with every candidate."""
        _, message = gst_sdp.SDPMessage.new_from_text(sdp)
        offer = web_rtc.WebRTCSessionDescription.new(web_rtc.WebRTCSDPType.OFFER, message)
        self._do("set-remote-description", offer)
        created = self._do("create-answer", None)  # the answer lives as long as this
        self._do("set-local-description", created.get_value("answer"))
        if not self._gathered.wait(LIMIT_SECONDS):
            raise TimeoutError("no ICE candidates")
        return str(self._webrtc.get_property("local-description").sdp.as_text())

    def end(self) -> None:
        """Have the file's last fragment written; the pipeline never ends as a whole, so nothing says when."""
        if self._entry is not None:
            self._entry.send_event(self._gst.Event.new_eos())

    def free(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)

    def _do(self, signal: str, argument: Any) -> Any:
        promise = self._gst.Promise.new()
        self._webrtc.emit(signal, argument, promise)
        promise.wait()
        return promise.get_reply()

    def _on_gathering(self, element: Any, _: Any) -> None:
        if element.get_property("ice-gathering-state").value_nick == "complete":
            self._gathered.set()

    def _on_pad(self, _: Any, pad: Any) -> None:
        if pad.get_direction() != self._gst.PadDirection.SRC:
            return
        encoding = pad.get_current_caps().get_structure(0).get_string("encoding-name")
        chain = self._gst.parse_bin_from_description(
            f"{_TO_FRAMES[encoding]} ! mp4mux fragment-duration={FRAGMENT_MILLISECONDS} ! "
            f"filesink location={self._path}",
            True,
        )
        self._pipeline.add(chain)
        self._entry = chain.get_static_pad("sink")
        chain.sync_state_with_parent()
        pad.link(self._entry)


def main(folder: Path) -> None:
    """Answer `answer`, `processes` and `close` until the input ends."""
    import os

    import gi  # type: ignore[import-not-found]

    for name in ("Gst", "GstWebRTC", "GstSdp"):
        gi.require_version(name, "1.0")
    from gi.repository import Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found]

    Gst.init(None)
    recordings: list[Recording] = []
    for line in sys.stdin:
        command = json.loads(line)
        answer: Any = {}
        if command["command"] == "answer":
            recordings.append(Recording(Gst, len(recordings), folder))
            answer = recordings[-1].answer(command["sdp"], GstWebRTC, GstSdp)
        elif command["command"] == "processes":
            answer = [os.getpid()]
        else:
            for recording in recordings:
                recording.end()
            time.sleep(END_SECONDS)
            for recording in recordings:
                recording.free()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

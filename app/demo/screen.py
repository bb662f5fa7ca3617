"""Draws the demo's desktop: readable windows whose text changes, as a video file."""

from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 1280, 720
FRAME_RATE = 10

_NOTES = (
    "It was the best of times, it was the worst of times",
    "Recital of every scene: who said what, and when",
    "Ask the capture what was on the screen",
    "Budget review moved to Thursday, 14:00",
)
_CODE = (
    "import videodb",
    "",
    "conn = videodb.connect(api_key=KEY, base_url=URL)",
    'cap = conn.create_capture_session(end_user_id="ada")',
    "token = conn.generate_client_token(expires_in=600)",
    'mic = cap.get_rtstream("mic")[0]',
    "mic.start_transcript(ws_connection_id=ws.connection_id)",
)


def render_screen(path: Path, seconds: float) -> None:
    """Write an H.264 file of `seconds`: a notes window, an editor being typed in, and a clock."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * FRAME_RATE)):
            picture = np.asarray(_draw(number / FRAME_RATE, seconds))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _draw(at: float, seconds: float) -> Image.Image:
    image = Image.new("RGB", (WIDTH, HEIGHT), "#20303c")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, WIDTH, 36), fill="#10181e")
    draw.text((16, 8), "OpenCapture demo desktop", font=ImageFont.load_default(18), fill="#d8e4ec")
    draw.text((WIDTH - 130, 8), f"00:00:{at:04.1f}", font=ImageFont.load_default(18), fill="#9fd0a0")
    _window(draw, (40, 70, 600, 400), "Notes", "#ffffff", "#f2efe6")
    shown = 1 + int(at / seconds * len(_NOTES))
    for line, text in enumerate(_NOTES[:shown]):
        draw.text((64, 130 + 44 * line), f"- {text}", font=ImageFont.load_default(19), fill="#2a2a2a")
    _window(draw, (480, 280, 1240, 690), "capture.py - Editor", "#c8d3da", "#17202a")
    typed = "\n".join(_CODE)[: int(at / seconds * 1.2 * len("\n".join(_CODE)))]
    for line, text in enumerate(typed.split("\n")):
        draw.text((504, 340 + 40 * line), text, font=ImageFont.load_default(21), fill="#b8e0c0")
    return image


def _window(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], title: str, bar: str, fill: str
) -> None:
    left, top, right, _ = box
    draw.rectangle(box, fill=fill, outline="#0a0f14", width=2)
    draw.rectangle((left, top, right, top + 40), fill=bar)
    draw.text((left + 16, top + 9), title, font=ImageFont.load_default(19), fill="#202020")

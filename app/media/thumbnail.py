"""Still pictures from finished media."""

import io
from fractions import Fraction
from pathlib import Path

import av

from app.base.errors import Unprocessable


def first_picture(source: Path | bytes, at_seconds: float = 0.0, max_width: int = 640) -> bytes:
    """The picture that a file shows at `at_seconds`, or its last, as JPEG no wider than `max_width`.

    Raises `Unprocessable` for a file without a picture that can be decoded.
    """
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        with av.open(file, "r") as container:
            if at_seconds > 0:
                container.seek(int(at_seconds * 1_000_000))
            shown: av.VideoFrame | None = None
            for frame in container.decode(video=0):
                if shown is not None and (frame.time or 0.0) > at_seconds:
                    break
                shown = frame
    except (av.FFmpegError, IndexError) as error:
        raise Unprocessable("The media file holds no readable picture.") from error
    if shown is None:
        raise Unprocessable("The media file holds no readable picture.")
    return encode_jpeg(shown, max_width)


def encode_jpeg(frame: av.VideoFrame, max_width: int, *, quality: int = 3) -> bytes:
    """JPEG no wider than `max_width`, even in both sides; `quality` is FFmpeg's, 2 the best, 31 the worst."""
    width = max(min(frame.width, max_width) // 2 * 2, 2)
    height = max(round(frame.height * width / frame.width / 2) * 2, 2)
    file = io.BytesIO()
    with av.open(file, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1, options={"qmin": str(quality), "qmax": str(quality)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        small = frame.reformat(width=width, height=height, format="yuvj420p")
        small.pts, small.time_base = 0, Fraction(1)
        small.pict_type = av.video.frame.PictureType.NONE
        container.mux(stream.encode(small))
        container.mux(stream.encode(None))
    return file.getvalue()

"""Frames as a clip shows them: cropped, scaled and filtered by one of FFmpeg's filter graphs."""

import av
import av.filter

from app.media.editor.geometry import Window
from app.media.editor.timeline import Filter

# On limited range 4:2:0, luma 16 to 235 and chroma around 128. The amounts are this product's choice: the
# SDKs name the filters and say no more.
FILTERS: dict[Filter, str] = {
    "blur": "gblur=sigma=8",
    "boost": "lutyuv=y=clip((val-126)*1.2+126\\,16\\,235):u=(val-128)*1.4+128:v=(val-128)*1.4+128",
    "contrast": "lutyuv=y=clip((val-126)*1.4+126\\,16\\,235)",
    "darken": "lutyuv=y=16+(val-16)*0.6",
    "greyscale": "lutyuv=u=128:v=128",
    "lighten": "lutyuv=y=235-(235-val)*0.6",
    "muted": "lutyuv=y=(val-126)*0.8+126:u=(val-128)*0.5+128:v=(val-128)*0.5+128",
    "negative": "lutyuv=y=251-val:u=256-val:v=256-val",
}
_TURNS = {
    90: ["transpose=cclock"],
    180: ["hflip", "vflip"],
    -180: ["hflip", "vflip"],
    -90: ["transpose=clock"],
}


class FrameGraph:
    """Crops, scales and filters frames of one size and format into `yuv420p`, or `yuva420p` with `alpha`."""

    def __init__(self, template: av.VideoFrame, window: Window, *, kind: Filter | None, alpha: bool) -> None:
        source, seen = window.source, window.visible
        steps = [
            *_TURNS.get(template.rotation, []),
            f"crop={source.width}:{source.height}:{source.left}:{source.top}:exact=1",
            f"scale={window.scaled[0]}:{window.scaled[1]}:flags=bicubic",
            f"crop={seen.width}:{seen.height}:{seen.left}:{seen.top}:exact=1",
            f"format={'yuva420p' if alpha else 'yuv420p'}",
        ]
        if kind:
            steps.append(FILTERS[kind])
        self._graph = av.filter.Graph()
        self._source = self._graph.add_buffer(
            width=template.width,
            height=template.height,
            format=template.format,
            time_base=template.time_base,
        )
        nodes = [self._graph.add(*_named(step)) for step in steps]
        self._sink = self._graph.add("buffersink")
        self._graph.link_nodes(self._source, *nodes, self._sink).configure()

    def process(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame as it is shown. Raises `av.FFmpegError`."""
        self._source.push(frame)
        made = self._sink.pull()
        assert isinstance(made, av.VideoFrame)
        return made


def upright_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height of the frame after the turn that its camera asks for."""
    turned = abs(frame.rotation) == 90
    return (frame.height, frame.width) if turned else (frame.width, frame.height)


def _named(step: str) -> tuple[str, str | None]:
    name, _, arguments = step.partition("=")
    return name, arguments or None

"""Parts of assets one after the other, as a timeline."""

from collections.abc import Sequence

from app.domain.assets.playback import Part
from app.domain.timelines.canvas import canvas_of
from app.media.editor.colours import Colour
from app.media.editor.timeline import AudioAsset, Clip, PlacedClip, Timeline, VideoAsset


def in_sequence(parts: Sequence[Part]) -> Timeline:
    """The parts in the size of the first one that has a picture; smaller ones are fitted into it."""
    clips = []
    at_seconds = 0.0
    for number, part in enumerate(parts):
        seconds = part.end_seconds - part.start_seconds
        kind = VideoAsset if part.asset.kind == "video" else AudioAsset
        clip = Clip(asset=kind(id=part.asset.id, start=part.start_seconds), duration=1, fit="contain")
        # A part may be longer than a clip may ask for, so the clip's own length says nothing.
        clips.append(PlacedClip(f"parts[{number}]", at_seconds, seconds, clip))
        at_seconds += seconds
    width, height = canvas_of(part.asset for part in parts)
    return Timeline(width, height, Colour(0, 0, 0), clips)

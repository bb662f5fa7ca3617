"""The size of a timeline that does not say one."""

from collections.abc import Iterable

from app.domain.assets.models import Asset
from app.domain.timelines.editor import MIN_SIDE_PIXELS
from app.media.editor.parts import MAX_SIDE_PIXELS

_DEFAULT_SIZE = 1280, 720


def canvas_of(assets: Iterable[Asset]) -> tuple[int, int]:
    """Even sides of the first asset that has a picture, within the limits of a canvas."""
    for asset in assets:
        if asset.width and asset.height:
            sides = (min(max(side, MIN_SIDE_PIXELS), MAX_SIDE_PIXELS) for side in (asset.width, asset.height))
            width, height = (side // 2 * 2 for side in sides)
            return width, height
    return _DEFAULT_SIZE

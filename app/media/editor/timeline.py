"""What the editor renders: assets, the clips that show them, and the timeline that they lie on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from app.media.editor.colours import Colour
from app.media.editor.expressions import Expression
from app.media.editor.parts import MAX_SECONDS, Number, Part, Seconds, Share
from app.media.editor.styles import Alignment, Background, Border, CaptionStyle, Font, Place, Shadow

MAX_TEXT_CHARACTERS = 5_000
MAX_CAPTION_BYTES = 4 * 1024 * 1024
MAX_VOLUME = 10.0

Fit = Literal["crop", "cover", "contain", "none"]
Filter = Literal["blur", "boost", "contrast", "darken", "greyscale", "lighten", "muted", "negative"]
# The SDKs leave both as text, and their guide names `fade` alone; these are the field's usual names.
Move = Literal[
    "fade",
    "reveal",
    "wipeLeft",
    "wipeRight",
    "wipeUp",
    "wipeDown",
    "slideLeft",
    "slideRight",
    "slideUp",
    "slideDown",
    "carouselLeft",
    "carouselRight",
    "carouselUp",
    "carouselDown",
    "zoom",
]
Effect = Literal[
    "zoomIn",
    "zoomInSlow",
    "zoomInFast",
    "zoomOut",
    "zoomOutSlow",
    "zoomOutFast",
    "slideLeft",
    "slideLeftSlow",
    "slideLeftFast",
    "slideRight",
    "slideRightSlow",
    "slideRightFast",
    "slideUp",
    "slideUpSlow",
    "slideUpFast",
    "slideDown",
    "slideDownSlow",
    "slideDownFast",
]
_NAMES = {name.lower(): name for name in (*get_args(Move), *get_args(Effect))}


def _named(value: object) -> object:
    """The name as it is spelt here; in snake case it is the same one, and `none` is none."""
    if not isinstance(value, str):
        return value
    plain = value.replace("_", "").replace("-", "").lower()
    return None if plain in ("", "none") else _NAMES.get(plain, value)


_Side = Annotated[int, Field(ge=1, le=4096)]
_Cut = Annotated[Number, Field(ge=0, le=16_384)]
AssetId = Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]


class Crop(Part):
    """What is cut off each side: below 1 a share of it (the vendor's guide), else pixels (its SDK)."""

    top: _Cut = 0
    right: _Cut = 0
    bottom: _Cut = 0
    left: _Cut = 0


class VideoAsset(Part):
    type: Literal["video"] = "video"
    id: AssetId
    start: Seconds = 0.0
    volume: Annotated[Number, Field(ge=0, le=MAX_VOLUME)] = 1.0
    crop: Crop = Crop()


class AudioAsset(Part):
    type: Literal["audio"] = "audio"
    id: AssetId
    start: Seconds = 0.0
    volume: Annotated[Number, Field(ge=0, le=MAX_VOLUME)] = 1.0


class ImageAsset(Part):
    type: Literal["image"] = "image"
    id: AssetId
    crop: Crop = Crop()


class TextAsset(Part):
    """`width` and `height` are a box, in pixels, that lines are broken and aligned in."""

    type: Literal["text"] = "text"
    text: str = Field(max_length=MAX_TEXT_CHARACTERS)
    font: Font = Font()
    border: Border | None = None
    shadow: Shadow | None = None
    background: Background | None = None
    alignment: Alignment = Alignment()
    tabsize: Annotated[int, Field(ge=1, le=64)] = 4
    line_spacing: Annotated[Number, Field(ge=0, le=1000)] = 0.0
    width: _Side | None = None
    height: _Side | None = None


class CaptionAsset(CaptionStyle):
    """`src` is `auto`, the words of the timeline's indexed videos, or a subtitle file in base64."""

    type: Literal["caption"] = "caption"
    src: str = Field("auto", max_length=MAX_CAPTION_BYTES)


FileAsset = VideoAsset | AudioAsset | ImageAsset
Asset = Annotated[
    VideoAsset | AudioAsset | ImageAsset | TextAsset | CaptionAsset, Field(discriminator="type")
]


class Offset(Part):
    """A shift by shares of the canvas's sides, to the right and down."""

    x: Annotated[Number, Field(ge=-10, le=10)] = 0.0
    y: Annotated[Number, Field(ge=-10, le=10)] = 0.0


class Transition(Part):
    """How a clip comes and goes, and for how many seconds each."""

    enter: Annotated[Move | None, BeforeValidator(_named)] = Field(None, alias="in")
    leave: Annotated[Move | None, BeforeValidator(_named)] = Field(None, alias="out")
    duration: Annotated[Number, Field(ge=0, le=60)] = 0.5


class Clip(Part):
    """An asset with its looks."""

    asset: Asset
    duration: Annotated[Number, Field(ge=0.001, le=MAX_SECONDS)]
    transition: Transition = Transition()
    effect: Annotated[Effect | None, BeforeValidator(_named)] = None
    filter: Filter | None = None
    scale: Annotated[Number, Field(ge=0, le=10)] = 1.0
    opacity: Share = 1.0
    fit: Fit = "crop"
    position: Place = "center"
    offset: Offset = Offset()
    z_index: Number = 0

    @model_validator(mode="before")
    @classmethod
    def _no_fit(cls, value: Any) -> Any:
        # An explicit null means "as it is"; Python's enum makes it the text "None" (contract §2.4).
        if isinstance(value, dict) and "fit" in value and value["fit"] in (None, "None"):
            return {**value, "fit": "none"}
        return value


@dataclass(frozen=True, slots=True)
class Corner:
    """Where an upper left corner lies, in pixels, instead of by position and offset.

    The picture has an edge of `inset` pixels that counts neither for its corner nor for its size.
    """

    left: Expression
    top: Expression
    inset: int = 0


@dataclass(frozen=True, slots=True)
class PlacedClip:
    """A clip at its time. `where` names it in errors; `muted` are stretches of the timeline, in seconds,
    in which it is not heard; `size` is what it is stretched to, in pixels, instead of its fit. Its sound
    fades in and out however its picture comes (`enter`) and goes (`leave`)."""

    where: str
    start_seconds: float
    duration_seconds: float
    clip: Clip
    fade_in_seconds: float = 0.0
    fade_out_seconds: float = 0.0
    enter: Move = "fade"
    leave: Move = "fade"
    muted: tuple[tuple[float, float], ...] = ()
    corner: Corner | None = None
    size: tuple[int, int] | None = None

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self.duration_seconds

    @property
    def asset_start_seconds(self) -> float:
        asset = self.clip.asset
        return asset.start if isinstance(asset, VideoAsset | AudioAsset) else 0.0

    def entered_at(self, seconds: float) -> float:
        """How far it has come in at this instant of the timeline, from 0 to 1."""
        return _level(seconds - self.start_seconds, self.fade_in_seconds)

    def staying_at(self, seconds: float) -> float:
        """How much of it has not gone yet at this instant of the timeline, from 1 to 0."""
        return _level(self.end_seconds - seconds, self.fade_out_seconds)


def _level(passed_seconds: float, whole_seconds: float) -> float:
    return min(max(passed_seconds / whole_seconds, 0.0), 1.0) if whole_seconds > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word, or a stretch of text, with its times on the timeline."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """Clips from the bottom to the top on a canvas of even sides, and what is said in it, a sentence each."""

    width: int
    height: int
    background: Colour
    clips: Sequence[PlacedClip]
    sentences: Sequence[Sequence[Word]] = field(default=())

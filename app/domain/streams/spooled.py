"""What the spool knows of a segment: kept beside its file, so that a later process can register it."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from app.domain.streams.models import Segment as SegmentRow
from app.media.frames import Codec
from app.media.parts import Container
from app.storage.keys import segment_key


class Recorded(BaseModel):
    """What is known of a segment once it grows no more; `duration_us` counts from its first frame."""

    model_config = ConfigDict(frozen=True)

    size_bytes: int
    duration_us: int
    frame_count: int
    starts_with_keyframe: bool
    width: int | None
    height: int | None


class Manifest(BaseModel):
    """One segment in the spool. `recorded` is None while it grows.

    `discontinuity` says that it does not continue the stream's segment before: its publisher has just come.
    """

    model_config = ConfigDict(frozen=True)

    segment_id: str
    account_id: str
    stream_id: str
    codec: Codec
    container: Container
    started_at_us: int
    discontinuity: bool
    recorded: Recorded | None = None
    hls_index: dict[str, Any] | None = None
    header_digest: str | None = None

    @property
    def storage_key(self) -> str:
        return segment_key(self.account_id, self.stream_id, self.segment_id, self.container)

    def row(self) -> SegmentRow:
        """The row that registers the finished segment."""
        assert self.recorded is not None
        return SegmentRow(
            id=self.segment_id,
            stream_id=self.stream_id,
            storage_key=self.storage_key,
            codec=self.codec.value,
            started_at_us=self.started_at_us,
            discontinuity=self.discontinuity,
            hls_index=self.hls_index,
            header_digest=self.header_digest,
            **self.recorded.model_dump(),
        )


def read_manifest(data: bytes) -> Manifest:
    """The manifest in a file of them, of which the last whole line counts.

    Raises `ValidationError` where no line is whole.
    """
    whole, _, _ = data.rpartition(b"\n")
    return Manifest.model_validate_json(whole.rstrip(b"\n").rpartition(b"\n")[2])

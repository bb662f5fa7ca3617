"""What is heard, seen and noticed on streams."""

from dataclasses import dataclass
from datetime import datetime

from app.domain.outbox.envelope import Json, envelope, iso

RECORD_NAMES = ("visual_index.record", "audio_index.record")


@dataclass(frozen=True, slots=True)
class TranscriptFinal:
    """An utterance was transcribed. Times are wall-clock Unix milliseconds of when it was said; `words` are
    `[{"text", "word", "start", "end"}, …]` on the same clock."""

    rtstream_id: str
    rtstream_name: str
    utterance_id: str
    text: str
    start_ms: int
    end_ms: int
    capture_session_id: str | None = None
    words: tuple[Json, ...] = ()

    name = "transcript.final"

    def envelope(self, message_id: str, at: datetime) -> Json:
        return envelope(self.name, message_id, at) | {
            "capture_session_id": self.capture_session_id,
            "rtstream_id": self.rtstream_id,
            "rtstream_name": self.rtstream_name,
            "data": self._data(),
        }

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [_transcript_frame(self, self._data(), message_id, at)]

    def _data(self) -> Json:
        return _transcript_data(self, is_final=True) | {"word_timestamps": list(self.words)}


@dataclass(frozen=True, slots=True)
class TranscriptInterim:
    """What was understood so far of an utterance that is still going on: a frame on sockets, and never an
    event of the outbox."""

    rtstream_id: str
    rtstream_name: str
    utterance_id: str
    text: str
    start_ms: int
    end_ms: int

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [_transcript_frame(self, _transcript_data(self, is_final=False), message_id, at)]


def _transcript_data(said: TranscriptFinal | TranscriptInterim, *, is_final: bool) -> Json:
    return {
        "text": said.text,
        "is_final": is_final,
        "start": said.start_ms,
        "end": said.end_ms,
        "utterance_id": said.utterance_id,
    }


def _transcript_frame(
    said: TranscriptFinal | TranscriptInterim, data: Json, message_id: str, at: datetime
) -> Json:
    return {
        "channel": "transcript",
        "type": "transcript",
        "event_id": message_id,
        "timestamp": iso(at),
        "rtstream_id": said.rtstream_id,
        "rtstream_name": said.rtstream_name,
        "text": said.text,
        "is_final": data["is_final"],
        "data": data,
    }


@dataclass(frozen=True, slots=True)
class SceneRecorded:
    """An index found something. Times are wall-clock Unix milliseconds of when it was shown or said.

    `channels` are the frames that tell of it, all with one event id: clients read a visual record under two
    names (contract C5).
    """

    rtstream_id: str
    rtstream_name: str
    index_id: str
    kind: str
    text: str
    start_ms: int
    end_ms: int
    channels: tuple[str, ...]
    capture_session_id: str | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}_index.record"

    def envelope(self, message_id: str, at: datetime) -> Json:
        return envelope(self.name, message_id, at) | {
            "capture_session_id": self.capture_session_id,
            "rtstream_id": self.rtstream_id,
            "rtstream_name": self.rtstream_name,
            "index_id": self.index_id,
            "data": self._data(),
        }

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [
            {
                "channel": channel,
                "type": "index",
                "index_type": self.kind,
                "event_id": message_id,
                "timestamp": iso(at),
                "rtstream_id": self.rtstream_id,
                "rtstream_name": self.rtstream_name,
                "index_id": self.index_id,
                "text": self.text,
                "data": self._data(),
            }
            for channel in self.channels
        ]

    def _data(self) -> Json:
        return {"text": self.text, "start": self.start_ms, "end": self.end_ms}


@dataclass(frozen=True, slots=True)
class AlertFired:
    """A rule matched a record. `links` lead to the stretch of the stream that the record is of."""

    alert_id: str
    rule_id: str
    label: str
    index_id: str
    rtstream_id: str
    rtstream_name: str
    confidence: float
    explanation: str
    text: str
    start_ms: int
    end_ms: int
    links: Json
    capture_session_id: str | None = None

    name = "alert.fired"

    def envelope(self, message_id: str, at: datetime) -> Json:
        """The callback's body (contract §2.5); `event_id` is the rule's, as its readers expect."""
        return {
            "id": message_id,
            "event": self.name,
            "event_id": self.rule_id,
            "label": self.label,
            "alert_id": self.alert_id,
            "index_id": self.index_id,
            "rtstream_id": self.rtstream_id,
            "rtstream_name": self.rtstream_name,
            "confidence": self.confidence,
            "explanation": self.explanation,
            "text": self.text,
            "timestamp": iso(at),
            "start_time": self.start_ms / 1000,
            "end_time": self.end_ms / 1000,
            **self.links,
        }

    def frames(self, message_id: str, at: datetime) -> list[Json]:
        return [
            {
                "channel": "alert",
                "type": "alert",
                "event_id": message_id,
                "timestamp": iso(at),
                "rtstream_id": self.rtstream_id,
                "rtstream_name": self.rtstream_name,
                "index_id": self.index_id,
                "alert_id": self.alert_id,
                "data": {
                    "event_id": self.rule_id,
                    "label": self.label,
                    "event_label": self.label,
                    "triggered": True,
                    "confidence": self.confidence,
                    "start": self.start_ms,
                    "end": self.end_ms,
                    "text": self.text,
                    "explanation": self.explanation,
                    **self.links,
                },
            }
        ]

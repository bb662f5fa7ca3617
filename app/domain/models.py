"""Every table of the product in one import, for migrations and for processes that start."""

from app.domain.accounts.models import Account, ApiKey, AuditEntry, ClientToken
from app.domain.alerts.models import Alert, AlertFiring, AlertMatch, EventRule, RecordToMatch
from app.domain.assets.models import Asset, Playback
from app.domain.collections.models import Collection
from app.domain.exports.models import ConvertedRun, MixWindow
from app.domain.indexes.models import IndexRecord, IndexWindow, SceneIndex, ScreenFrame
from app.domain.nodes.models import IngestNode
from app.domain.operations.models import Operation
from app.domain.outbox.models import OutboxHead, OutboxMessage
from app.domain.passages.models import Passage
from app.domain.scenes.models import Scene, SceneCollection
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.streams.models import Pull, Segment, Stream
from app.domain.transcripts.models import SpeechChunk, TranscribedPiece, Transcription, Utterance
from app.domain.understanding.models import Analyzer, NamedIndex, Understanding
from app.domain.uploads.models import Upload
from app.domain.webhooks.models import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookLine,
    WebhookSecret,
)

__all__ = [
    "Account",
    "Alert",
    "AlertFiring",
    "AlertMatch",
    "Analyzer",
    "ApiKey",
    "Asset",
    "AuditEntry",
    "CaptureSession",
    "Channel",
    "ClientToken",
    "Collection",
    "ConvertedRun",
    "EventRule",
    "IndexRecord",
    "IndexWindow",
    "IngestNode",
    "MixWindow",
    "NamedIndex",
    "Operation",
    "OutboxHead",
    "OutboxMessage",
    "Passage",
    "Playback",
    "Pull",
    "RecordToMatch",
    "Scene",
    "SceneCollection",
    "SceneIndex",
    "ScreenFrame",
    "Segment",
    "SpeechChunk",
    "Stream",
    "TranscribedPiece",
    "Transcription",
    "Understanding",
    "Upload",
    "Utterance",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookLine",
    "WebhookSecret",
]

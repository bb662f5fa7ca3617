"""Every table of the product in one import, for migrations and for processes that start."""

from app.domain.accounts.models import Account, ApiKey, AuditEntry, ClientToken
from app.domain.assets.models import Asset, Playback
from app.domain.collections.models import Collection
from app.domain.exports.models import MixWindow
from app.domain.nodes.models import IngestNode
from app.domain.operations.models import Operation
from app.domain.outbox.models import OutboxMessage
from app.domain.sessions.models import CaptureSession, Channel
from app.domain.streams.models import Segment, Stream
from app.domain.transcripts.models import SpeechChunk, Transcription, Utterance
from app.domain.webhooks.models import WebhookDelivery, WebhookEndpoint

__all__ = [
    "Account",
    "ApiKey",
    "Asset",
    "AuditEntry",
    "CaptureSession",
    "Channel",
    "ClientToken",
    "Collection",
    "IngestNode",
    "MixWindow",
    "Operation",
    "OutboxMessage",
    "Playback",
    "Segment",
    "SpeechChunk",
    "Stream",
    "Transcription",
    "Utterance",
    "WebhookDelivery",
    "WebhookEndpoint",
]

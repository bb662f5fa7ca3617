"""Every REST resource of the API, literals before parameters (contract §1.6)."""

from fastapi import APIRouter

from app.api import (
    alerts,
    audit,
    client_tokens,
    clips,
    collections,
    downloads,
    editor,
    erasing,
    events,
    images,
    indexes,
    keys,
    operations,
    pulls,
    recorders,
    sessions,
    streams,
    subtitles,
    thumbnails,
    transcripts,
    uploads,
    videos,
    webhook_deliveries,
    webhooks,
)

router = APIRouter()
for resource in (
    sessions,
    recorders,
    uploads,
    collections,
    alerts,
    indexes,
    pulls,
    streams,
    subtitles,
    thumbnails,
    transcripts,
    clips,
    videos,
    images,
    downloads,
    editor,
    operations,
    events,
    webhook_deliveries,
    webhooks,
    erasing,
    keys,
    client_tokens,
    audit,
):
    router.include_router(resource.router)

"""Every REST resource of the API, literals before parameters (contract §1.6)."""

from fastapi import APIRouter

from app.api import (
    collections,
    editor,
    events,
    images,
    operations,
    recorders,
    sessions,
    streams,
    thumbnails,
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
    streams,
    thumbnails,
    videos,
    images,
    editor,
    operations,
    events,
    webhook_deliveries,
    webhooks,
):
    router.include_router(resource.router)

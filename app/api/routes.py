"""Every REST resource of the API, literals before parameters (contract §1.6)."""

from fastapi import APIRouter

from app.api import (
    alerts,
    collections,
    downloads,
    editor,
    events,
    images,
    indexes,
    operations,
    pulls,
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
    alerts,
    indexes,
    pulls,
    streams,
    thumbnails,
    videos,
    images,
    downloads,
    editor,
    operations,
    events,
    webhook_deliveries,
    webhooks,
):
    router.include_router(resource.router)

"""Every REST resource of the API, literals before parameters (contract §1.6)."""

from fastapi import APIRouter

from app.api import (
    audit,
    client_tokens,
    collections,
    editor,
    erasing,
    images,
    keys,
    operations,
    recorders,
    sessions,
    streams,
    thumbnails,
    uploads,
    videos,
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
    erasing,
    keys,
    client_tokens,
    audit,
):
    router.include_router(resource.router)

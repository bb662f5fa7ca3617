"""Every REST resource of the API, literals before parameters (contract §1.6)."""

from fastapi import APIRouter

from app.api import (
    collections,
    editor,
    images,
    operations,
    pulls,
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
    pulls,
    streams,
    thumbnails,
    videos,
    images,
    editor,
    operations,
):
    router.include_router(resource.router)

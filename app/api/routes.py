"""Every REST resource of the API, literals before parameters (contract §1.6)."""

from fastapi import APIRouter

from app.api import collections, editor, operations, recorders, sessions, streams, thumbnails, videos

router = APIRouter()
for resource in (sessions, recorders, collections, streams, thumbnails, videos, editor, operations):
    router.include_router(resource.router)

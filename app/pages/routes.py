"""What people look at: the player pages and the media that they play."""

from fastapi import APIRouter

from app.pages import media

router = APIRouter()
router.include_router(media.router)

"""What people look at: the home and player pages, and the media that they play."""

from fastapi import APIRouter

from app.pages import downloads, home, media, player, static_files

router = APIRouter()
for module in (home, player, static_files, media, downloads):
    router.include_router(module.router)

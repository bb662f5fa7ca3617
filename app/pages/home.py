"""The page at `/`: what this server is, whether it is ready, and how to point an SDK at it."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.pages.page import html_page
from app.wire.deps import AppContext

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def home(context: AppContext) -> HTMLResponse:
    return html_page("home", {"base_url": context.settings.base_url})

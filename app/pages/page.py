"""Makes HTML answers: templates filled with escaped values, under a strict content security policy."""

import html
from collections.abc import Mapping
from pathlib import Path
from string import Template

from fastapi.responses import HTMLResponse

from app.pages.static_files import STATIC_PATH

_TEMPLATES = {
    path.stem: Template(path.read_text(encoding="utf-8"))
    for path in (Path(__file__).parent / "templates").glob("*.html")
}
# A player gets its media from a blob that it feeds; a style or script inside the page is never run.
_POLICY = "default-src 'self'; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'"
_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",  # a page's address holds its slug, which is a credential
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), microphone=(), display-capture=(), geolocation=()",
}


def html_page(
    template: str, values: Mapping[str, str], *, status: int = 200, may_be_framed: bool = False
) -> HTMLResponse:
    """Fill a template of this folder. Every value is escaped, so it may stand in text and in attributes."""
    escaped = {name: html.escape(value) for name, value in values.items()}
    filled = _TEMPLATES[template].substitute(escaped, static=STATIC_PATH)
    policy = _POLICY if may_be_framed else f"{_POLICY}; frame-ancestors 'none'"
    return HTMLResponse(filled, status, headers=_HEADERS | {"Content-Security-Policy": policy})

"""Builds the web process; settings say which doors it opens."""

import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict

from fastapi import FastAPI

from app.api import health
from app.api import routes as api
from app.base.files import allow_many_files
from app.base.logs import configure_logs
from app.base.settings import Settings, get_settings
from app.process import open_context
from app.wire.documents import document
from app.wire.envelope import install_error_envelope
from app.wire.headers import Cors, SecurityHeaders
from app.wire.normalise import NormaliseRequests
from app.wire.rate_limit import RateLimit
from app.wire.uses import Uses


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the ASGI application, its connections opened and closed by its lifespan."""
    settings = settings or get_settings()
    configure_logs("web", settings.log_level)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            context = open_context(settings)
            stack.push_async_callback(context.close)
            app.state.context = context
            app.state.uses = Uses(context.db)
            rate_limit = app.state.rate_limit = RateLimit(
                context.redis, per_second=settings.rate_limit_per_second, burst=settings.rate_limit_burst
            )
            app.state.details["rate_limit"] = rate_limit.describe
            if "hub" in settings.doors:
                from app.hub.hub import open_hub

                allow_many_files()
                hub = app.state.hub = await stack.enter_async_context(open_hub(context))
                app.state.details["hub"] = lambda: asdict(hub.counts)
            if "ingest" in settings.doors:
                from app.ingest.live import open_live
                from app.ingest.node import announced
                from app.ingest.pull.puller import open_puller
                from app.ingest.rtsp.server import open_rtsps
                from app.ingest.whip.media_port import open_media_port

                app.state.media_port = await stack.enter_async_context(
                    open_media_port(settings.effective_webrtc_port, settings.ice_addresses)
                )
                live = app.state.live = await stack.enter_async_context(open_live(context))
                app.state.details["spool"] = lambda: asdict(live.uploads.backlog)
                rtsps = await stack.enter_async_context(open_rtsps(context, live))
                await stack.enter_async_context(announced(context, live, rtsps))
                await stack.enter_async_context(open_puller(context, live))
            if "pages" in settings.doors:
                from app.pages.clips import Clips
                from app.pages.feeds import Feeds
                from app.pages.spooled import Spooled

                app.state.clips = Clips(context)
                stack.push_async_callback(app.state.clips.close)
                app.state.spooled = Spooled(settings.data_dir)
                app.state.feeds = Feeds(context, app.state.spooled)
                stack.push_async_callback(app.state.feeds.close)
            # What was loaded so far stays: to search it for garbage again and again holds up media by 0.1 s.
            gc.freeze()
            yield

    app = FastAPI(
        title="OpenCapture",
        version="0.1.0",
        lifespan=lifespan,
        redirect_slashes=False,
        # Their pages load scripts from a foreign host; /openapi.json is served.
        docs_url=None,
        redoc_url=None,
    )
    app.state.details = {}  # what /readyz tells beside its checks
    app.add_middleware(
        NormaliseRequests,
        max_body_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
    )
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins)
    app.add_middleware(SecurityHeaders, is_https=settings.base_url.startswith("https:"))
    install_error_envelope(app)
    app.include_router(health.router)
    if "api" in settings.doors:
        app.include_router(api.router)
    if "hub" in settings.doors:
        from app.hub import routes as hub

        app.include_router(hub.router)
    if "ingest" in settings.doors:
        from app.ingest.whip import routes as whip

        app.include_router(whip.router)
    if "pages" in settings.doors:
        from app.pages import routes as pages

        app.include_router(pages.router)
    document(app)
    return app

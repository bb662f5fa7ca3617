"""What each command of the SDKs does; every one is answered, whatever happens."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx

from opencapture_recorder.api import open_http
from opencapture_recorder.channels import TRACKS, parse_channels
from opencapture_recorder.errors import CommandError, RecorderError
from opencapture_recorder.protocol import Command, encode_event, encode_failure, encode_success
from opencapture_recorder.recording import Recording
from opencapture_recorder.settings import load_settings
from opencapture_recorder.sources.catalog import find_channels
from opencapture_recorder.sources.contract import FoundChannel

logger = logging.getLogger(__name__)

DEFAULT_API_URL = "https://api.videodb.io"
_FIND_TIMEOUT_SECONDS = 10.0
_MAX_COMMANDS = 64
_CLOSE_SECONDS = 15.0
_PERMISSIONS = {"microphone": "audio", "screen-capture": "video", "accessibility": None}

Params = dict[str, Any]


class Recorder:
    """The state behind stdio: the server's address and at most one recording."""

    def __init__(self, send: Callable[[bytes], None], on_shutdown: Callable[[], None]) -> None:
        self._send = send
        self._on_shutdown = on_shutdown
        self._api_url = DEFAULT_API_URL
        self._session_token: str | None = None
        self._http: httpx.AsyncClient | None = None
        self._recording: Recording | None = None
        self._lock = asyncio.Lock()  # One start or stop at a time.
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands = {
            "init": self._init,
            "ping": self._ping,
            "requestPermission": self._request_permission,
            "getChannels": self._get_channels,
            "startRecording": self._start_recording,
            "stopRecording": self._stop_recording,
            "pauseTracks": self._pause_tracks,
            "resumeTracks": self._resume_tracks,
            "shutdown": self._shutdown,
        }

    def handle(self, command: Command) -> None:
        """Run a command in its own task, so that a slow start does not keep a ping waiting."""
        if len(self._tasks) >= _MAX_COMMANDS:
            self._send(encode_failure(command.command_id, "Too many commands at once"))
            return
        task = asyncio.create_task(self._answer(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop the recording at the server and here, within a time limit; then no command runs."""
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._stop()
                if self._http is not None:
                    await self._http.aclose()
        except TimeoutError:
            logger.warning("the recording did not stop in %.0f s", _CLOSE_SECONDS)

    async def _answer(self, command: Command) -> None:
        try:
            run = self._commands.get(command.name)
            if run is None:
                raise CommandError(f"Unknown command {command.name[:80]!r}")
            line = encode_success(command.command_id, await run(command.params))
        except RecorderError as error:
            line = encode_failure(command.command_id, str(error))
        except asyncio.CancelledError:
            self._send(encode_failure(command.command_id, "The recorder is shutting down"))
            raise
        except Exception as error:
            logger.exception("%s failed", command.name)
            line = encode_failure(command.command_id, f"internal error: {type(error).__name__}")
        self._send(line)
        if command.name == "shutdown":
            self._on_shutdown()

    def _emit(self, event: str, payload: Params) -> None:
        if event == "error" and self._session_token is not None:
            # The Node SDK re-emits `error`, which ends a program without a listener for it; it has
            # `recording:error` for the same fact. Only Node gives its token with init.
            return
        self._send(encode_event(event, payload))

    async def _init(self, params: Params) -> Params:
        api_url, token = params.get("apiUrl"), params.get("sessionToken")
        if isinstance(api_url, str) and api_url:
            if not api_url.startswith(("http://", "https://")):
                raise CommandError("apiUrl must begin with http:// or https://")
            self._api_url = api_url
        self._session_token = token if isinstance(token, str) else None
        return {"initialized": True}

    async def _ping(self, params: Params) -> Params:
        return {"pong": True}

    async def _request_permission(self, params: Params) -> Params:
        name = str(params.get("permission")).replace("_", "-")
        if name not in _PERMISSIONS:
            raise CommandError(f"permission must be one of {', '.join(_PERMISSIONS)}")
        kind = _PERMISSIONS[name]
        if kind is None:
            return {"status": "granted"}
        # Linux asks nobody; a source that is there may be captured.
        is_there = any(
            channel.kind == kind and channel.channel_id != "system_audio:default"
            for channel in await self._find_channels()
        )
        return {"status": "granted" if is_there else "denied"}

    async def _get_channels(self, params: Params) -> Params:
        return {
            "channels": [
                {
                    "channel_id": channel.channel_id,
                    "type": channel.kind,
                    "name": channel.channel_id,
                    "is_default": channel.is_default,
                }
                for channel in await self._find_channels()
            ]
        }

    async def _find_channels(self) -> list[FoundChannel]:
        settings = load_settings()
        try:
            return await asyncio.wait_for(asyncio.to_thread(find_channels, settings), _FIND_TIMEOUT_SECONDS)
        except TimeoutError:
            raise RecorderError("The sound server or the X display does not answer") from None

    async def _start_recording(self, params: Params) -> Params:
        session_id = params.get("sessionId")
        token = params.get("uploadToken") or self._session_token
        if not isinstance(session_id, str) or not session_id:
            raise CommandError("sessionId must be a text")
        if not isinstance(token, str) or not token:
            raise CommandError("uploadToken must be a text")
        channels = parse_channels(params)
        async with self._lock:
            if self._recording is not None and not self._recording.is_over:
                raise CommandError("A recording is already running")
            if self._http is None:
                self._http = await asyncio.to_thread(open_http)
            recording = Recording(
                load_settings(), self._http, self._api_url, token, session_id, channels, self._emit
            )
            await recording.start()
            self._recording = recording
        return {"recording": True, "session_id": session_id}

    async def _stop_recording(self, params: Params) -> Params:
        session_id = params.get("sessionId")
        async with self._lock:
            recording = self._recording
            if recording is not None and session_id not in (None, "current", recording.session_id):
                raise CommandError("sessionId is not the session being recorded")
            problem = await recording.stop() if recording is not None else None
        return {"recording": False, "warning": problem} if problem else {"recording": False}

    async def _pause_tracks(self, params: Params) -> Params:
        return self._set_paused(params, True)

    async def _resume_tracks(self, params: Params) -> Params:
        return self._set_paused(params, False)

    def _set_paused(self, params: Params, is_paused: bool) -> Params:
        tracks = params.get("tracks")
        if not isinstance(tracks, list) or not tracks or any(track not in TRACKS for track in tracks):
            raise CommandError(f"tracks must be a list of {', '.join(TRACKS)}")
        if self._recording is None or self._recording.is_over:
            raise CommandError("Nothing is being recorded")
        self._recording.set_paused(tracks, is_paused)
        return {"tracks": tracks, "paused": is_paused}

    async def _shutdown(self, params: Params) -> Params:
        await self._stop()
        return {"shutdown": True}

    async def _stop(self) -> None:
        async with self._lock:
            if self._recording is not None:
                await self._recording.stop()

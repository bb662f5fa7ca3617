"""The REST calls of a recording, and the HTTP client that makes them."""

import os
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

import httpx

from opencapture_recorder.channels import ChannelRequest
from opencapture_recorder.errors import Refused, ServerError

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 5.0
STATUS_TIMEOUT_SECONDS = 5.0
_MAX_REDIRECTS = 3
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")


@dataclass(frozen=True, slots=True)
class StartedSession:
    """What the server answered: the id to stop, and where each channel is published."""

    streaming_session_id: str
    whip_urls: dict[str, str]


def open_http() -> httpx.AsyncClient:
    """A client that trusts the same private CAs as the SDKs and goes through the same proxies."""
    context = ssl.create_default_context()
    for name in _CA_VARIABLES:
        path = os.environ.get(name, "")
        if path and os.path.isfile(path):
            context.load_verify_locations(path)
    return httpx.AsyncClient(verify=context, max_redirects=_MAX_REDIRECTS)


class CaptureApi:
    """One session's calls, with the upload token that may make them."""

    def __init__(self, http: httpx.AsyncClient, api_url: str, token: str) -> None:
        self._http = http
        self._base = api_url.rstrip("/") + "/"
        self._headers = {"x-access-token": token}

    async def start(self, session_id: str, channels: list[ChannelRequest]) -> StartedSession:
        """Announce the channels. Raises Refused (4xx) or ServerError."""
        body: dict[str, Any] = {
            "session_id": session_id,
            "channels": [
                {
                    "channel_id": channel.channel_id,
                    "type": channel.kind,
                    "channel_name": channel.channel_id,
                    "store": channel.is_stored,
                    "is_primary": channel.is_primary,
                }
                for channel in channels
            ],
        }
        primary = next((channel.channel_id for channel in channels if channel.is_primary), None)
        if primary is not None:
            body["primary_video_channel_id"] = primary
        data = await self._post("capture/session/start", body, START_TIMEOUT_SECONDS)
        urls = self._whip_urls(data)
        missing = [channel.channel_id for channel in channels if channel.channel_id not in urls]
        if missing:
            raise ServerError(f"The server gave no whip_url for {', '.join(missing)}")
        return StartedSession(str(data.get("streaming_session_id") or session_id), urls)

    async def find_whip_urls(self, session_id: str) -> dict[str, str]:
        """Where each channel is published now: a server of several processes may have lost one.

        Raises Refused (4xx) or ServerError.
        """
        path = f"capture/session/{quote(session_id, safe='')}"
        return self._whip_urls(await self._call("GET", path, None, STATUS_TIMEOUT_SECONDS))

    async def stop(self, streaming_session_id: str, session_id: str) -> None:
        """End the session. Raises Refused (4xx) or ServerError."""
        path = f"capture/session/{quote(streaming_session_id, safe='')}/stop"
        await self._post(path, {"session_id": session_id}, STOP_TIMEOUT_SECONDS)

    def _whip_urls(self, data: dict[str, Any]) -> dict[str, str]:
        return {
            str(row["channel_id"]): urljoin(self._base, str(row["whip_url"]))
            for row in data.get("channels") or []
            if isinstance(row, dict) and row.get("channel_id") and row.get("whip_url")
        }

    async def _post(self, path: str, body: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        return await self._call("POST", path, body, timeout_seconds)

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None, timeout_seconds: float
    ) -> dict[str, Any]:
        try:
            response = await self._http.request(
                method, urljoin(self._base, path), json=body, headers=self._headers, timeout=timeout_seconds
            )
        except httpx.HTTPError as error:
            raise ServerError(f"The server cannot be reached: {type(error).__name__}") from error
        answer = _json_object(response)
        if response.is_success and answer.get("success", True):
            data = answer.get("data")
            return data if isinstance(data, dict) else {}
        message = f"The server answered {response.status_code}: {str(answer.get('message', ''))[:300]}"
        raise Refused(message) if 400 <= response.status_code < 500 else ServerError(message)


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}

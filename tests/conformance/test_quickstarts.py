"""Checks 40, 41 and 42: a user's first backend and client, which know of no server but the vendor's.

Their only way here is the environment that `capture redirect` prints; the recorder is found by the SDK.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from opencapture_recorder.node_link import link_node

from app.demo.screen import render_screen
from tests.fixtures.captures import LEAD_SECONDS, speech, write_sound
from tests.fixtures.sdks import NEWEST, Program, node_sdk, python_sdk
from tests.fixtures.stack import RunningStack

SCREEN_SECONDS = 60  # longer than any of this takes
SEEN_SECONDS = 60.0

pytestmark = pytest.mark.slow

BACKEND = """
    import queue
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    conn = videodb.connect()

    def listen(name, ids):
        async def receive():
            socket = await conn.connect_websocket().connect()
            ids.put(socket.connection_id)
            async for frame in socket.receive():
                emit({"watcher": name, "channel": frame.get("channel"), "text": frame["data"].get("text")})

        asyncio.run(receive())

    def watcher(name):
        ids = queue.Queue()
        threading.Thread(target=listen, args=(name, ids), daemon=True).start()
        return ids.get(timeout=20)

    def start_pipelines(session_id):
        session = conn.get_capture_session(session_id)
        for category in ("system_audio", "mic"):
            for stream in session.get_rtstream(category):
                ws_id = watcher(category)
                stream.start_transcript(ws_connection_id=ws_id)
                stream.index_audio(
                    prompt="Summarize what is being discussed",
                    ws_connection_id=ws_id,
                    batch_config={"type": "time", "value": 6},
                )
        for display in session.get_rtstream("screen"):
            display.index_visuals(
                prompt="In one sentence, describe what is on screen", ws_connection_id=watcher("screen")
            )
        emit({"started": session.id})

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            if body["event"] == "capture_session.active":
                threading.Thread(
                    target=start_pipelines, args=(body["capture_session_id"],), daemon=True
                ).start()
            if body["event"] == "capture_session.exported":
                emit({"exported": body["data"]})

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    session = conn.create_capture_session(
        end_user_id="quickstart-user",
        collection_id="default",
        callback_url=f"http://127.0.0.1:{server.server_port}/webhook",
        metadata={"app": "quickstart"},
    )
    emit({"session_id": session.id, "token": conn.generate_client_token()})
    await hear()
    server.shutdown()
"""
CLIENT = """
    from videodb.capture import CaptureClient

    client = CaptureClient(client_token=token)
    await client.request_permission("microphone")
    await client.request_permission("screen_capture")
    channels = await client.list_channels()
    mic = channels.mics.default
    display = channels.displays.default
    system_audio = channels.system_audio.default
    for channel in (mic, display, system_audio):
        channel.store = True
    display.is_primary = True
    await client.start_session(capture_session_id=session_id, channels=[mic, display, system_audio])
    await hear()
    await client.stop_session()
    await client.shutdown()
"""
NODE = """
    const { CaptureClient } = require('videodb/capture');
    const conn = videodb.connect();
    const ws = await conn.connectWebsocket();
    await ws.connect();
    const collection = await conn.getCollection();
    const session = await collection.createCaptureSession({
      endUserId: 'quickstart-user',
      wsConnectionId: ws.connectionId,
      metadata: { app: 'quickstart' },
    });
    const client = new CaptureClient({ sessionToken: await conn.generateClientToken(3600) });
    await client.requestPermission('microphone');
    await client.requestPermission('screen-capture');
    const found = await client.listChannels();
    const channels = [
      { channelId: found.mics.default.id, type: 'audio', record: true, transcript: true },
      { channelId: found.displays.default.id, type: 'video', record: true },
      { channelId: found.systemAudio.default.id, type: 'audio', record: true, transcript: true },
    ];
    const seen = new Set();
    const note = what => {
      if (!seen.has(what)) emit(what);
      seen.add(what);
    };
    const listening = (async () => {
      for await (const frame of ws.receive()) {
        const channel = frame.channel || frame.type;
        const data = frame.data || {};
        if (channel === videodb.WebSocketChannel.captureSession) note(`${frame.event} ${data.status}`);
        if (channel === videodb.WebSocketChannel.transcript && data.is_final && data.text) {
          note(`transcript ${frame.rtstream_name}`);
        }
        if (channel === 'audio_index' && data.text.trim()) note('audio index');
        if (channel === videodb.WebSocketChannel.sceneIndex && data.text.trim()) note('visual index');
      }
    })();
    const until = async what => {
      for (let waited = 0; !seen.has(what); waited += 100) {
        if (waited > 60_000) throw new Error(`never seen: ${what}`);
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    };
    await client.startSession({ sessionId: session.id, channels });
    await until('capture_session.active active');
    await session.refresh();
    for (const stream of session.rtstreams) {
      if (stream.mediaTypes.includes('audio')) {
        await stream.indexAudio({
          prompt: 'Summarize what is being discussed',
          batchConfig: { type: 'time', value: 6 },
          socketId: ws.connectionId,
        });
      } else {
        await stream.indexVisuals({
          prompt: 'In one sentence, describe what is on screen',
          batchConfig: { type: 'time', value: 3, frameCount: 3 },
          socketId: ws.connectionId,
        });
      }
    }
    for (const one of ['mic:default', 'system_audio:default']) await until(`transcript ${one}`);
    for (const one of ['audio index', 'visual index']) await until(one);
    await client.stopSession();
    await client.shutdown();
    await until('capture_session.exported exported');
    await ws.close();
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the recorder takes for this machine's devices."""
    folder = tmp_path_factory.mktemp("quickstart")
    lead_seconds = LEAD_SECONDS + 3
    files = {
        "mic:default": write_sound(folder / "mic.wav", [lead_seconds, speech("two_cities.wav", 1.0, 8.5)]),
        "system_audio:default": write_sound(
            folder / "system.wav", [lead_seconds, speech("beckett.wav", 0.0, 6.0)]
        ),
        "display:1": folder / "screen.mp4",
    }
    render_screen(files["display:1"], SCREEN_SECONDS)
    return {"OPENCAPTURE_SOURCES": json.dumps({name: {"file": str(path)} for name, path in files.items()})}


def until(backend: Program, name: str) -> Any:
    """The next value that the backend gives under this name."""
    while name not in (value := backend.next(SEEN_SECONDS)):
        pass
    return value[name]


def test_check_40_a_python_backend_and_client(
    stack: RunningStack, redirected: dict[str, str], sources: dict[str, str]
) -> None:
    sdk = python_sdk(NEWEST).given(redirected)
    with sdk.given({"VIDEO_DB_API_KEY": stack.api_key}).started(BACKEND) as backend:
        made = backend.next()
        with sdk.given(sources).started(CLIENT, **made) as client:
            assert until(backend, "started") == made["session_id"]
            seen: dict[tuple[str, str], str] = {}
            wanted = {
                ("mic", "transcript"),
                ("system_audio", "transcript"),
                ("mic", "audio_index"),
                ("system_audio", "audio_index"),
                ("screen", "scene_index"),
                ("screen", "visual_index"),
            }
            while not wanted <= seen.keys():
                value = backend.next(SEEN_SECONDS)
                if value.get("text"):
                    seen[value["watcher"], value["channel"]] = value["text"]
            client.say("enter")
            assert client.rest() == []
        exported = until(backend, "exported")
        backend.say("end")
        backend.rest()
    assert "OpenCapture demo desktop" in seen["screen", "visual_index"]
    assert exported["exported_video_id"].startswith("m-")
    assert exported["stream_url"].startswith(stack.base_url)
    assert exported["player_url"].startswith(stack.base_url)


def test_checks_41_and_42_a_node_program(
    stack: RunningStack, redirected: dict[str, str], sources: dict[str, str]
) -> None:
    sdk = node_sdk()
    link_node(Path(sdk.environment["NODE_PATH"]) / "videodb")
    given = {**redirected, **sources, "VIDEO_DB_API_KEY": stack.api_key}
    with sdk.given(given).started(NODE) as program:
        seen = program.rest()
    # Lifecycle frames carry both `event` and `data.status`.
    lifecycle = [one for one in seen if one.startswith("capture_session.")]
    way = ("created", "starting", "active", "stopping", "stopped", "exported")
    # The first may be over before the program listens.
    assert lifecycle in ([f"capture_session.{status} {status}" for status in way[at:]] for at in (0, 1))

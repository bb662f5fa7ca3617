import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.rtsp.messages import MAX_BODY_BYTES, MalformedMessage, parse_request, render_response
from app.ingest.rtsp.wire import MAX_HEAD_BYTES, MediaData, read_piece

ANNOUNCE = (
    b"ANNOUNCE rtsp://127.0.0.1:8554/rts-1-abc RTSP/1.0\r\nCSeq: 1\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 3\r\n\r\n"
)


async def pieces(data: bytes) -> list[object]:
    reader = asyncio.StreamReader(limit=MAX_HEAD_BYTES)
    reader.feed_data(data)
    reader.feed_eof()
    found: list[object] = []
    while True:
        try:
            found.append(await read_piece(reader))
        except EOFError:
            return found


def test_a_request_is_read() -> None:
    request = parse_request(ANNOUNCE)
    assert (request.method, request.path, request.cseq) == ("ANNOUNCE", "rts-1-abc", 1)
    assert request.headers["content-type"] == "application/sdp"
    assert request.body_bytes == 3


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS rtsp://h/p RTSP/2.0\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS rtsp://h/p RTSP/1.0\r\n\r\n",
        b"OPTIONS rtsp://h/p RTSP/1.0\r\nCSeq: -1\r\n\r\n",
        b"OPTIONS rtsp://h/p RTSP/1.0\r\nCSeq: 1\rX: y\r\n\r\n",
        b"OPTIONS rtsp://[/p RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n",
        b"OPTIONS rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"\xff\xfe rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused(head: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_request(head)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(head: bytes) -> None:
    for data in (head, ANNOUNCE[: len(head)] + head, b"OPTIONS rtsp://h/p RTSP/1.0\r\nCSeq: 1\r\n" + head):
        try:
            request = parse_request(data)
            assert 0 <= request.body_bytes <= MAX_BODY_BYTES
        except MalformedMessage:
            continue
        assert b"\r" not in render_response(200, request.cseq).replace(b"\r\n", b"")


def test_a_body_may_not_be_large() -> None:
    request = parse_request(ANNOUNCE.replace(b"Length: 3", b"Length: %d" % (MAX_BODY_BYTES + 1)))
    with pytest.raises(MalformedMessage):
        assert request.body_bytes


async def test_media_stands_between_requests() -> None:
    found = await pieces(ANNOUNCE + b"v=0" + b"$\x01\x00\x02hi" + ANNOUNCE + b"v=1" + b"$\x00\x00\x00")
    assert [piece for piece in found if isinstance(piece, MediaData)] == [(1, b"hi"), (0, b"")]
    assert [piece[1] for piece in found if not isinstance(piece, MediaData)] == [b"v=0", b"v=1"]


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_whatever_comes_is_read_or_refused(data: bytes, announced: bool) -> None:
    try:
        asyncio.run(pieces((ANNOUNCE + b"v=0" if announced else b"") + data))
    except MalformedMessage:
        return


async def test_a_head_without_an_end_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        await pieces(b"OPTIONS " + b"x" * (2 * MAX_HEAD_BYTES))

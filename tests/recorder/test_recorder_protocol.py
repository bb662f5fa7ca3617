"""The line protocol: cutting, parsing and encoding survive anything."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from opencapture_recorder import protocol
from opencapture_recorder.protocol import LineSplitter, parse_command


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter = LineSplitter(64)
    got = [line for a, b in pairwise(places) for line in splitter.feed(data[a:b])]
    expected = [line for line in data.split(b"\n")[:-1] if len(line) <= 64]
    assert got == [line.removesuffix(b"\r") for line in expected]


def test_a_line_that_is_too_long_is_dropped_and_the_next_one_is_read() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"x" * 25) == []
    assert splitter.feed(b"x" * 25 + b"\nnext\n") == [b"next"]
    assert splitter.dropped_lines == 1


@given(st.binary(max_size=200))
def test_any_line_is_parsed_or_ignored(line: bytes) -> None:
    parse_command(line)
    parse_command(protocol.PREFIX.encode() + line)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["command", "commandId", "params", "x"]), _json, max_size=4))
def test_a_request_with_an_id_always_becomes_a_command(message: dict[str, object]) -> None:
    command = parse_command(f"{protocol.PREFIX}{json.dumps(message)}".encode())
    assert (command is not None) == isinstance(message.get("commandId"), str)
    if command is not None and isinstance(message.get("params"), dict):
        assert command.params == message["params"]


def test_deeply_nested_json_is_ignored() -> None:
    assert parse_command(f"{protocol.PREFIX}{'[' * 50_000}".encode()) is None


@given(st.integers(0, 200_000), st.text(max_size=50))
def test_no_line_exceeds_what_the_python_sdk_reads(length: int, text: str) -> None:
    long = text + "é" * length
    for line in (
        protocol.encode_success("id", {"text": long}),
        protocol.encode_failure("id", long),
        protocol.encode_event("recording:error", {"message": long}),
    ):
        assert len(line) <= protocol.MAX_LINE_BYTES < 65_536
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        json.loads(line.decode().removeprefix(protocol.PREFIX))

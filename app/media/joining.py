"""Cuts of one file joined into one file: copied, and encoded anew at their edges alone."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av

from app.base.errors import Unprocessable
from app.media.clip import make_clip
from app.media.hls import FragmentIndex, Piece, cut_pieces
from app.media.writing import ExportedFile

_WHOLE = {"movflags": "faststart"}


class _Stretch(io.RawIOBase):
    """A file's header and one stretch of its fragments, as a file of their own."""

    def __init__(self, path: Path, header_bytes: int, piece: Piece) -> None:
        self._file = path.open("rb")
        self._header_bytes = header_bytes
        self._skipped_bytes = piece.range.offset_bytes - header_bytes
        self._size_bytes = header_bytes + piece.range.length_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        in_header = self._at < self._header_bytes
        until = self._header_bytes if in_header else self._size_bytes
        count = until - self._at if size < 0 else min(size, until - self._at)
        if count <= 0:
            return b""
        self._file.seek(self._at if in_header else self._at + self._skipped_bytes)
        data = self._file.read(count)
        self._at += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def plays_whole(index: FragmentIndex, start_seconds: float, end_seconds: float) -> bool:
    """Whether this cut is all of the file."""
    pieces = cut_pieces(index, start_seconds, end_seconds)
    return len(pieces) == 1 and not pieces[0].is_edge and pieces[0].fragments == index.fragments


def can_join(path: Path, index: FragmentIndex) -> bool:
    """Whether the file's packets can be joined as they are: B frames are decoded before their time, and would
    overtake the cut before them. Raises `Unprocessable`."""
    first = Piece(index.fragments[:1], 0.0, 0.0, is_edge=False)
    try:
        with _opened(path, index, first, ExitStack()) as container:
            return all(packet.pts == packet.dts for packet in container.demux() if packet.size)
    except av.FFmpegError as error:
        raise Unprocessable("The recorded media cannot be read.") from error


def join_cuts(
    path: Path,
    index: FragmentIndex,
    cuts: Sequence[tuple[float, float]],
    target: Path,
    on_progress: Callable[[float], None] | None = None,
) -> ExportedFile:
    """Write stretches of the file at `path`, seconds from and to, one after the other as an MP4.

    Raises `Unprocessable`; nothing is left at `target` on failure.
    """
    pieces = [piece for start, end in cuts for piece in cut_pieces(index, start, end)]
    seconds = sum(piece.duration_seconds for piece in pieces)
    if not pieces:
        raise Unprocessable("There is nothing in this stretch of time.")
    try:
        with ExitStack() as stack:
            sources = [_source(path, index, piece, stack) for piece in pieces]
            output = stack.enter_context(av.open(str(target), "w", format="mp4", options=_WHOLE))
            written = _Joined(output, sources)
            for piece, source in zip(pieces, sources, strict=True):
                written.add(source, piece)
                if on_progress:
                    on_progress(min(written.ended_seconds / seconds, 1.0))
            size = next(((s.width, s.height) for s in sources[0].streams.video), (None, None))
            has_audio = bool(sources[0].streams.audio)
    except av.FFmpegError as error:
        target.unlink(missing_ok=True)
        raise Unprocessable("The recorded media cannot be read.") from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return ExportedFile(target, written.ended_seconds, size[0] is not None, has_audio, *size)


class _Joined:
    """The file that is written."""

    def __init__(
        self, output: av.container.OutputContainer, sources: "Sequence[av.container.InputContainer]"
    ) -> None:
        self.ended_seconds = 0.0
        self._output = output
        self._streams: dict[str, av.stream.Stream] = {}
        self._decoded_seconds: dict[str, float] = {}
        for kind in ("video", "audio"):
            found = [stream for source in sources for stream in source.streams if stream.type == kind]
            if found:
                # An edge that was encoded holds the parameter sets of both: its own and the recording's.
                template = max(found, key=lambda stream: len(stream.codec_context.extradata or b""))
                self._streams[kind] = output.add_stream_from_template(template)

    def add(self, source: "av.container.InputContainer", piece: Piece) -> None:
        shift_seconds = self.ended_seconds - piece.start_seconds
        for packet in _packets(source):
            kind = packet.stream.type
            assert packet.pts is not None
            assert packet.dts is not None
            assert packet.time_base is not None
            decoded = float(packet.dts * packet.time_base) + shift_seconds
            # Sound reaches over the cut by a part of its last frame.
            if decoded <= self._decoded_seconds.get(kind, -1.0):
                continue
            self._decoded_seconds[kind] = decoded
            ticks = round(shift_seconds / float(packet.time_base))
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = self._streams[kind]
            self._output.mux(packet)
        self.ended_seconds += piece.duration_seconds


def _packets(source: "av.container.InputContainer") -> "Iterator[av.Packet[Any]]":
    for packet in source.demux():
        if packet.size and packet.pts is not None and packet.dts is not None:
            yield packet


def _source(
    path: Path, index: FragmentIndex, piece: Piece, stack: ExitStack
) -> "av.container.InputContainer":
    """A piece as it is to be played, times as in the file."""
    if not piece.is_edge:
        return stack.enter_context(_opened(path, index, piece, stack))
    with _Stretch(path, index.init_length_bytes, piece) as file:
        header, fragments = file.read(), file.read()
    clip = make_clip(header + fragments, piece.start_seconds, piece.end_seconds)
    return stack.enter_context(av.open(io.BytesIO(clip), "r"))


def _opened(
    path: Path, index: FragmentIndex, piece: Piece, stack: ExitStack
) -> "av.container.InputContainer":
    file = stack.enter_context(_Stretch(path, index.init_length_bytes, piece))
    return av.open(file, "r", format="mp4")

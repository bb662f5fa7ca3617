"""The folder where recorded media waits until storage has it: it outlives the process, and is taken up again.

`<stream id>/<segment id>.<container>` is a segment, `<stream id>/<segment id>.json` its manifest, which is
written after the segment's file was made and removed after the file. The manifest's last whole line counts:
to add one costs the file system a fraction of what another file takes that replaces the first.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import ValidationError

from app.base.errors import Unprocessable
from app.base.ids import new_id
from app.domain.streams.spooled import Manifest, Recorded, read_manifest
from app.ingest.spool.growing import GrowingFile, is_held
from app.media.hls import index_segment
from app.media.salvage import salvage

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]
_Ended = tuple["asyncio.Future[Any]", Any, Exception | None]

# Threads of its own: a storage that hangs in the process's common ones must not stop recording.
THREADS = 4


class Spool:
    """What lies in `root`; processes may share it. Methods block, `in_thread` runs them beside the loop."""

    def __init__(self, root: Path, *, reserve_bytes: int, sync: bool) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._sync = sync
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="spool")
        self._jobs: list[_Job] = []
        # A stream's folder is not taken away between being made and being written to.
        self._folders = threading.Lock()

    def close(self) -> None:
        self._threads.shutdown(wait=True)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in one of the spool's threads.

        Recorders write at the same instants: what is asked for in one step of the event loop is shared out
        among the threads at once, since handing over costs more than many a write.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        if not self._jobs:
            loop.call_soon(self._share_out, loop)
        self._jobs.append((partial(work, *args, **kwargs), done))
        return await done

    def _share_out(self, loop: asyncio.AbstractEventLoop) -> None:
        jobs, self._jobs = self._jobs, []
        for n in range(min(THREADS, len(jobs))):
            try:
                self._threads.submit(_do, jobs[n::THREADS], loop)
            except RuntimeError as error:  # closed meanwhile
                _settle([(done, None, error) for _, done in jobs[n::THREADS]])

    def name(self) -> str:
        """What this spool is called in the database: made once and kept in it. Raises `OSError`."""
        name = new_id("spl")
        path, new = self._root / "name", self._root / name
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_durably(new, name)
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
        return path.read_text(encoding="ascii")

    def begin(self, manifest: Manifest) -> GrowingFile:
        """Start a segment. Raises `OSError`."""
        with self._folders:
            self._folder(manifest.stream_id).mkdir(mode=0o700, parents=True, exist_ok=True)
            file = GrowingFile(self.path(manifest), reserve_bytes=self._reserve_bytes, sync=self._sync)
        try:
            self._keep(manifest)
        except OSError:
            file.close()
            self.path(manifest).unlink(missing_ok=True)
            raise
        return file

    def finish(self, manifest: Manifest) -> Manifest:
        """Note that a segment grows no more, and how it is played; returns it with that.

        On a full disk both are found out again after a restart.
        """
        try:
            manifest = self._indexed(manifest)
            self._keep(manifest)
        except OSError as error:
            logger.warning("%s is finished, unnoted: %s", manifest.segment_id, os.strerror(error.errno or 0))
        return manifest

    def _indexed(self, manifest: Manifest) -> Manifest:
        if manifest.container != "mp4":
            return manifest
        try:
            index, digest = index_segment(self.path(manifest))
        except Unprocessable as error:
            logger.error("%s cannot be played while it is live: %s", manifest.segment_id, error.message)
            return manifest
        return manifest.model_copy(update={"hls_index": index.to_json(), "header_digest": digest})

    def remove(self, manifest: Manifest) -> None:
        """Forget a segment that storage has, or that holds nothing."""
        manifest_path = self._manifest_path(manifest)
        for path in (self.path(manifest), manifest_path):
            path.unlink(missing_ok=True)

    def path(self, manifest: Manifest) -> Path:
        """Where the segment's bytes are."""
        return self._folder(manifest.stream_id) / f"{manifest.segment_id}.{manifest.container}"

    def holds(self, stream_id: str) -> bool:
        """Whether anything of the stream is here."""
        try:
            return any(self._folder(stream_id).iterdir())
        except FileNotFoundError:
            return False

    def forget(self, stream_id: str) -> None:
        """Take away the stream's folder where it is empty."""
        with self._folders:
            try:
                self._folder(stream_id).rmdir()
            except OSError:
                logger.debug("the spool of %s is in use again", stream_id)

    def stream_ids(self) -> list[str]:
        """The streams that have a folder here."""
        return sorted(entry.name for entry in self._root.iterdir() if entry.is_dir())

    def take_up(self, stream_id: str) -> list[Manifest]:
        """The stream's segments that nobody writes any more, each finished; what holds no media is removed.

        What a crash left growing is cut after its last whole part.
        """
        taken: list[Manifest] = []
        for segment_id in sorted({path.stem for path in self._folder(stream_id).iterdir()}):
            try:
                if (manifest := self._taken_up(stream_id, segment_id)) is not None:
                    taken.append(manifest)
            except FileNotFoundError:
                continue  # another process has taken it away
        return taken

    def salvage(self, manifest: Manifest) -> Manifest | None:
        """Finish a segment whose writer is gone; None, and nothing left of it, where no part is whole."""
        path = self.path(manifest)
        left = salvage(path, manifest.container) if path.exists() else None
        if left is None:
            self.remove(manifest)
            return None
        recorded = Recorded.model_validate(left, from_attributes=True)
        return self.finish(manifest.model_copy(update={"recorded": recorded}))

    def _taken_up(self, stream_id: str, segment_id: str) -> Manifest | None:
        files = {path.suffix: path for path in self._folder(stream_id).glob(f"{segment_id}.*")}
        media = files.get(".mp4") or files.get(".webm")
        if media is not None and is_held(media):
            return None
        try:
            manifest = read_manifest(files[".json"].read_bytes())
        except KeyError:  # its process died before it had a manifest, or while it was being removed
            for path in files.values():
                path.unlink(missing_ok=True)
            return None
        except ValidationError:
            logger.error("the manifest of %s cannot be read: it is left where it is", segment_id)
            return None
        return manifest if manifest.recorded is not None else self.salvage(manifest)

    def _keep(self, manifest: Manifest) -> None:
        # A line break in front too: the line before may have been torn.
        _write_durably(self._manifest_path(manifest), f"\n{manifest.model_dump_json()}\n")

    def _folder(self, stream_id: str) -> Path:
        return self._root / stream_id

    def _manifest_path(self, manifest: Manifest) -> Path:
        return self._folder(manifest.stream_id) / f"{manifest.segment_id}.json"


def _do(jobs: list[_Job], loop: asyncio.AbstractEventLoop) -> None:
    ended: list[_Ended] = []
    for work, done in jobs:
        try:
            ended.append((done, work(), None))
        except Exception as error:
            ended.append((done, None, error))
    with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
        loop.call_soon_threadsafe(_settle, ended)


def _settle(ended: list[_Ended]) -> None:
    for done, result, error in ended:
        if done.done():  # cancelled
            continue
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)


def _write_durably(path: Path, text: str) -> None:
    """Add `text` to the file at `path`, which is made where it is missing."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

"""How late a socket heard what was understood, and where the time went, from what it received and a trace."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from bench.traced import Note
from bench.understanding_streams import Heard, Speaker

PADDING_SECONDS = 0.2  # what the cutter leaves of the pause


@dataclass
class Latency:
    """Delays in seconds. `missed` utterances had no final, `doubled` ones several.

    `longest_wait` is the longest time between two records of one display; `fewest_records` how many the
    display with the fewest has.
    """

    finals: list[float] = field(default_factory=list)
    interims: list[float] = field(default_factory=list)
    missed: int = 0
    doubled: int = 0
    records: list[float] = field(default_factory=list)
    alerts: list[float] = field(default_factory=list)
    longest_wait: float = 0.0
    fewest_records: int = 0
    stages: dict[str, list[float]] = field(default_factory=dict)


def part_of(part: float, values: Sequence[float]) -> float:
    """The value below which `part` of them lie; NaN where there are none."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)] if values else float("nan")


def latency_of(heard: Heard, notes: Sequence[Note]) -> Latency:
    """All delays of a run."""
    found = Latency()
    written = {(note.what, note.row_id): note.at for note in reversed(notes)}  # the first of each
    for speaker in heard.speakers:
        _of_speech(found, heard, speaker, written)
    counts = [_of_screens(found, heard, stream_id, notes) for stream_id in heard.displays]
    found.fewest_records = min(counts, default=0)
    for (what, row_id), at in written.items():
        if what == "screen read":
            _stage(found, "screen kept to read", written.get(("screen kept", row_id)), at)
    return found


def _of_speech(found: Latency, heard: Heard, speaker: Speaker, written: dict[tuple[str, str], float]) -> None:
    frames = heard.of(speaker.stream_id, "transcript")
    finals = [(at, frame["data"]) for at, frame in frames if frame["is_final"]]
    found.interims += [at - frame["data"]["end"] / 1000 for at, frame in frames if not frame["is_final"]]
    ids = [data["utterance_id"] for _, data in finals]
    found.doubled += len(ids) - len(set(ids))
    first = min((frame["data"]["start"] / 1000 for _, frame in frames), default=None)
    for one in speaker.said:
        begun, ended = (speaker.track.started_at + us / 1e6 for us in (one.started_at_us, one.ended_at_us))
        if first is None or begun < first - 0.5:
            continue  # said before the transcription ran
        arrived = [(at, data) for at, data in finals if begun < (data["start"] + data["end"]) / 2000 < ended]
        found.missed += not arrived
        if arrived:
            at, data = arrived[0]
            row_id, spoken_until = data["utterance_id"], ended - PADDING_SECONDS
            found.finals.append(at - spoken_until)
            steps = [written.get((what, row_id)) for what in ("speech stored", "speech taken", "words saved")]
            names = ("pause until speech stored", "until taken", "until words saved", "until heard")
            for name, (before, after) in zip(names, pairwise([spoken_until, *steps, at]), strict=True):
                _stage(found, name, before, after)


def _of_screens(found: Latency, heard: Heard, stream_id: str, notes: Sequence[Note]) -> int:
    """Returns how many records there were."""
    records = heard.of(stream_id, "visual_index")
    windows = {
        (note.index_id, (note.start_us or 0) // 1000): note.at
        for note in notes
        if note.what == "window ended"
    }
    saved = {
        (note.index_id, (note.start_us or 0) // 1000): note.at
        for note in notes
        if note.what == "record saved"
    }
    for at, frame in records:
        ended, key = frame["data"]["end"] / 1000, (frame["index_id"], frame["data"]["start"])
        found.records.append(at - ended)
        steps = [ended, windows.get(key), saved.get(key), at]
        for name, (before, after) in zip(
            ("window until it waits", "until record saved", "record until heard"),
            pairwise(steps),
            strict=True,
        ):
            _stage(found, name, before, after)
    found.longest_wait = max(
        [found.longest_wait, *(after - before for (before, _), (after, _) in pairwise(records))]
    )
    exist = {frame["data"]["start"]: _as_seconds(frame["timestamp"]) for _, frame in records}
    for at, frame in heard.of(stream_id, "alert"):
        if frame["data"]["start"] in exist:
            found.alerts.append(at - exist[frame["data"]["start"]])
    return len(records)


def _stage(found: Latency, name: str, before: float | None, after: float | None) -> None:
    if before is not None and after is not None:
        found.stages.setdefault(name, []).append(after - before)


def _as_seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()

"""Which channels exist here, and the source behind each."""

import logging
from collections.abc import Callable

from opencapture_recorder.errors import SourceError
from opencapture_recorder.settings import RecorderSettings, SourceSpec
from opencapture_recorder.sources.contract import FoundChannel, Source
from opencapture_recorder.sources.files import FileAudio, FileVideo
from opencapture_recorder.sources.patterns import MovingSquare, Tone

logger = logging.getLogger(__name__)


def find_channels(settings: RecorderSettings) -> list[FoundChannel]:
    """Channels that can be captured now, microphone first; one that cannot is left out with a warning.

    Blocking: connects to the sound server and the X display.
    """
    if settings.sources is not None:
        channel_ids = sorted(settings.sources, key=_order)
    else:
        channel_ids = [*_if_found("mic:default", _microphone), *_if_found("system_audio:default", _speaker)]
        channel_ids += [f"display:{number}" for number in range(1, _count_displays() + 1)]
    return [FoundChannel(channel_id, channel_id in _DEFAULTS) for channel_id in channel_ids]


def open_source(channel_id: str, settings: RecorderSettings) -> Source:
    """Open what a channel captures. Blocking. Raises SourceError with the reason."""
    if settings.sources is not None:
        spec = settings.sources.get(channel_id)
        if spec is None:
            raise SourceError(f"{channel_id} is not among OPENCAPTURE_SOURCES")
        return _open_spec(channel_id, spec)
    return _open_device(channel_id, settings)


_DEFAULTS = ("mic:default", "system_audio:default", "display:1")


def _order(channel_id: str) -> tuple[int, int]:
    kind, _, number = channel_id.partition(":")
    return ("mic", "system_audio", "display").index(kind), int(number) if number.isdecimal() else 0


def _open_spec(channel_id: str, spec: SourceSpec) -> Source:
    if spec.file is not None:
        if channel_id.startswith("display:"):
            return FileVideo(spec.file, loop=spec.loop)
        return FileAudio(spec.file, loop=spec.loop)
    return Tone(spec.tone_hz) if spec.tone_hz is not None else MovingSquare()


def _open_device(channel_id: str, settings: RecorderSettings) -> Source:
    # The device modules load C libraries that a machine with file sources need not have.
    if channel_id == "mic:default":
        from opencapture_recorder.sources.pulse import PulseSource

        return PulseSource(_microphone(), channels=1)
    if channel_id == "system_audio:default":
        from opencapture_recorder.sources.pulse import PulseSource

        return PulseSource(_speaker(), channels=2)
    from opencapture_recorder.sources.x11 import ScreenGrab, find_monitors

    number = int(channel_id.removeprefix("display:"))
    monitors = find_monitors()
    if number > len(monitors):
        raise SourceError(f"{channel_id} does not exist: there are {len(monitors)} displays")
    return ScreenGrab(monitors[number - 1], settings.frame_rate)


def _microphone() -> str:
    from opencapture_recorder.sources.pulse import find_microphone

    return find_microphone()


def _speaker() -> str:
    from opencapture_recorder.sources.pulse import find_speaker_monitor

    return find_speaker_monitor()


def _count_displays() -> int:
    from opencapture_recorder.sources.x11 import find_monitors

    try:
        return len(find_monitors())
    except SourceError as error:
        logger.warning("no display is listed: %s", error)
        return 0


def _if_found(channel_id: str, find: Callable[[], str]) -> list[str]:
    try:
        find()
    except SourceError as error:
        logger.warning("%s is not listed: %s", channel_id, error)
        return []
    return [channel_id]

"""The only module that spells a storage key."""

from app.storage.contract import ObjectMissing


def key_parts(key: str) -> list[str]:
    """The parts between the slashes. Raises `ObjectMissing` for what is no key: a path upwards, say."""
    parts = key.split("/")
    if any(not part or part.startswith(".") for part in parts):
        raise ObjectMissing(f"not a storage key: {key!r}")
    return parts


def segment_key(account_id: str, stream_id: str, segment_id: str, extension: str) -> str:
    """A recorded piece of one stream."""
    return f"{stream_prefix(account_id, stream_id)}{segment_id}.{extension}"


def stream_prefix(account_id: str, stream_id: str) -> str:
    """Everything recorded of one stream."""
    return f"{account_id}/segments/{stream_id}/"


def speech_key(account_id: str, stream_id: str, chunk_id: str) -> str:
    """One utterance's sound, kept only until it is transcribed."""
    return f"{speech_prefix(account_id, stream_id)}{chunk_id}.flac"


def speech_prefix(account_id: str, stream_id: str) -> str:
    """Everything said in one stream that waits for its words."""
    return f"{account_id}/speech/{stream_id}/"


def screen_key(account_id: str, owner_id: str, frame_id: str) -> str:
    """A picture of a stream or an asset that was looked at."""
    return f"{screen_prefix(account_id, owner_id)}{frame_id}.jpg"


def screen_prefix(account_id: str, owner_id: str) -> str:
    """Every picture of a stream or an asset that was looked at."""
    return f"{account_id}/screens/{owner_id}/"


def mix_key(account_id: str, session_id: str, render_id: str) -> str:
    """A window of a session's mix, kept until the session is exported."""
    return f"{mix_prefix(account_id, session_id)}{render_id}.m4a"


def mix_prefix(account_id: str, session_id: str) -> str:
    """Every window of a session's mix."""
    return f"{account_id}/mixes/{session_id}/"


def conversion_key(account_id: str, session_id: str, render_id: str) -> str:
    """A run of a session's pictures in another codec, kept until the session is exported."""
    return f"{conversion_prefix(account_id, session_id)}{render_id}.mp4"


def conversion_prefix(account_id: str, session_id: str) -> str:
    """Every converted run of a session."""
    return f"{account_id}/conversions/{session_id}/"


def asset_key(account_id: str, asset_id: str, render_id: str, extension: str) -> str:
    """A finished file of one asset. `render_id` keeps a retried render off the key of the first try."""
    return f"{asset_prefix(account_id, asset_id)}{render_id}.{extension}"


def asset_prefix(account_id: str, asset_id: str) -> str:
    """Every file that was made for an asset."""
    return f"{account_id}/assets/{asset_id}/"


def download_key(account_id: str, download_id: str, render_id: str, extension: str) -> str:
    """A playback as one file, made to be taken away."""
    return f"{download_prefix(account_id, download_id)}{render_id}.{extension}"


def download_prefix(account_id: str, download_id: str) -> str:
    """Every file that was made for a download."""
    return f"{account_id}/downloads/{download_id}/"


def upload_key(account_id: str, upload_id: str) -> str:
    """A file as a client uploaded it."""
    return f"{account_id}/uploads/{upload_id}"

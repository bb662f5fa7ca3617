from pathlib import Path

from app.storage.keys import asset_key, segment_key, speech_key, stream_prefix
from app.storage.local import LocalStorage


async def test_each_account_has_a_folder_of_its_own_and_each_stream_its_prefix(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    keys = [
        segment_key("acc-1", "rts-1", "seg-1", "mp4"),
        speech_key("acc-1", "rts-1", "chk-1"),
        asset_key("acc-1", "m-1", "r-1", "mp4"),
        asset_key("acc-1", "m-1", "r-2", "mp4"),
        segment_key("acc-1", "rts-10", "seg-1", "mp4"),
    ]
    for key in keys:
        await storage.put_bytes(key, b".")
    assert len(await storage.list_keys("acc-1/")) == len(keys)
    assert await storage.list_keys(stream_prefix("acc-1", "rts-1")) == [keys[0]]


async def test_the_name_of_a_url_is_decoded(tmp_path: Path) -> None:
    from app.storage.registry import open_storage

    storage = open_storage((tmp_path / "with space").as_uri())
    await storage.put_bytes("acc/1", b"x")
    assert (tmp_path / "with space" / "acc" / "1").read_bytes() == b"x"

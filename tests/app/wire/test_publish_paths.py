import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import NotFound, Unavailable
from app.base.ids import new_id
from app.base.settings import Settings
from app.wire.publish_paths import publish_path, stream_published_at

SETTINGS = Settings(secret_key="key-1")


def test_a_path_leads_to_its_stream_and_no_other_does() -> None:
    one, other = new_id("rts"), new_id("rts")
    path = publish_path(SETTINGS, one)
    assert stream_published_at(SETTINGS, path) == one
    assert "/" not in path
    assert path == publish_path(SETTINGS, one)
    assert path != publish_path(Settings(secret_key="key-2"), one)
    for forged in (path[:-1], path + "0", path.replace(one, other), path.upper(), one, "", "-", path + "/x"):
        with pytest.raises(NotFound):
            stream_published_at(SETTINGS, forged)


@given(st.text(max_size=80))
def test_any_other_path_leads_nowhere(path: str) -> None:
    with pytest.raises(NotFound):
        stream_published_at(SETTINGS, path)


def test_without_a_secret_there_are_no_paths() -> None:
    with pytest.raises(Unavailable):
        publish_path(Settings(secret_key=None), "rts-1")

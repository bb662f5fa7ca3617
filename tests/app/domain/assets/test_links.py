import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import NotFound, Unavailable
from app.base.settings import Settings
from app.domain.assets.links import Links, MediaGrant, read_media_grant
from app.domain.assets.models import Asset
from app.domain.assets.stretches import Stretch, read_stretch

SETTINGS = Settings(secret_key="one secret", data_dir=Path("none"), media_url_seconds=3600)
FOR_EVER = SETTINGS.model_copy(update={"media_url_seconds": 0})
SLUG = "AbC_d-1"


def granted(settings: Settings = SETTINGS) -> str:
    return Links(settings).stream_url(SLUG).split("/")[-2]


def test_a_link_grants_its_slug_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    text, now = granted(), time.time()
    assert read_media_grant(SETTINGS, text) == MediaGrant(SLUG, has_expired=False)
    assert Links(SETTINGS).player_url(SLUG).endswith(f"/watch?v={text}")
    monkeypatch.setattr(time, "time", lambda: now + 3500)
    assert not read_media_grant(SETTINGS, text).has_expired
    monkeypatch.setattr(time, "time", lambda: now + 3600 + 900 + 1)
    assert read_media_grant(SETTINGS, text) == MediaGrant(SLUG, has_expired=True)
    assert not read_media_grant(FOR_EVER, text).has_expired


def test_links_stay_the_same_for_a_while_so_that_players_and_caches_know_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    first = granted()
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0 + 3600 / 4)
    assert granted() != first


def test_where_links_do_not_expire_the_slug_is_the_link() -> None:
    assert granted(FOR_EVER) == SLUG
    assert read_media_grant(FOR_EVER, SLUG) == MediaGrant(SLUG, has_expired=False)
    assert read_media_grant(SETTINGS, SLUG).has_expired  # from the time before


def test_who_signs_with_another_key_grants_nothing() -> None:
    other = SETTINGS.model_copy(update={"secret_key": Settings(secret_key="another").secret_key})
    with pytest.raises(NotFound):
        read_media_grant(SETTINGS, granted(other))
    with pytest.raises(Unavailable, match="CAPTURE_SECRET_KEY"):
        granted(SETTINGS.model_copy(update={"secret_key": None}))


@given(st.text() | st.tuples(st.text(), st.text(), st.text()).map(".".join))
def test_no_other_text_grants_anything_now(text: str) -> None:
    with contextlib.suppress(NotFound):
        assert read_media_grant(SETTINGS, text).has_expired


@given(st.integers(0, len(granted()) - 1), st.characters())
def test_a_link_that_is_changed_anywhere_grants_nothing(place: int, character: str) -> None:
    text = granted()
    changed = text[:place] + character + text[place + 1 :]
    if changed == text:
        return
    with contextlib.suppress(NotFound):
        assert read_media_grant(SETTINGS, changed).has_expired


@pytest.mark.parametrize("settings", [SETTINGS, FOR_EVER])
def test_a_stretch_is_opened_by_a_signed_link_alone(settings: Settings) -> None:
    stretch = Stretch(f"m-{'0' * 26}", 1500, 4000)
    text = Links(settings).stream_url(stretch.slug).split("/")[-2]
    assert read_media_grant(settings, text) == MediaGrant(stretch.slug, has_expired=False)
    assert read_stretch(stretch.slug) == stretch
    assert read_stretch(SLUG) is None
    longer = text.replace(stretch.slug, Stretch(stretch.owner_id, 0, 9_000_000).slug)
    for forged in (stretch.slug, longer, f"{stretch.slug}.ffffffffff.{'0' * 32}"):
        with pytest.raises(NotFound):
            read_media_grant(settings, forged)


@pytest.mark.parametrize(
    ("start_us", "end_us", "start_ms", "end_ms"),
    [
        (1_500_000, 4_000_000, 1500, 4000),
        (1_500_000, 1_500_000, 1500, 2500),
        (-3, 2_000_000, 0, 2000),
        (9_900_000, 30_000_000, 9000, 10_000),
    ],
)
def test_a_moment_can_always_be_watched(start_us: int, end_us: int, start_ms: int, end_ms: int) -> None:
    asset = Asset(id=f"m-{'0' * 26}", length_seconds=10.0, playback_slug=SLUG)
    found = Links(SETTINGS).of_stretch(asset, start_us, end_us)
    grant = read_media_grant(SETTINGS, str(found["stream_link"]).split("/")[-2])
    assert read_stretch(grant.slug) == Stretch(asset.id, start_ms, end_ms)
    assert found["stream_url"] == found["stream_link"]
    assert str(found["player_url"]).endswith(f"&t={start_ms / 1000}")
    silent = Asset(id=asset.id, length_seconds=10.0, playback_slug=None)
    assert set(Links(SETTINGS).of_stretch(silent, start_us, end_us).values()) == {None}

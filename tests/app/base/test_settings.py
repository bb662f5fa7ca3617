from pathlib import Path

import pytest
from pydantic import ValidationError

from app.base.settings import Settings


def test_a_database_is_named_by_its_usual_variable_or_by_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAPTURE_DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://one")
    assert Settings().database_url == "postgresql+asyncpg://one"
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("CAPTURE_DATABASE_URL", "postgresql+asyncpg://two")
    assert Settings().database_url == "postgresql+asyncpg://two"


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTURE_DOORS", "api, hub,")
    monkeypatch.setenv("CAPTURE_ICE_ADDRESSES", "10.0.0.1,10.0.0.2")
    settings = Settings()
    assert settings.doors == ("api", "hub")
    assert settings.ice_addresses == ("10.0.0.1", "10.0.0.2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("DOORS", "api,back"),
        ("SEGMENT_SECONDS", "0"),
        ("WORKER_THREADS", "0"),
        ("LANGUAGE_URL", "file:///x"),
    ],
)
def test_what_cannot_work_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CAPTURE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_urls_follow_the_public_one() -> None:
    settings = Settings(public_url="https://capture.example.com/")
    assert settings.base_url == "https://capture.example.com"
    assert settings.websocket_base_url == "wss://capture.example.com"
    assert Settings(host="127.0.0.1", port=9, public_url=None).websocket_base_url == "ws://127.0.0.1:9"


def test_media_comes_to_the_udp_port_of_the_same_number_unless_named() -> None:
    assert Settings(port=9000).effective_webrtc_port == 9000
    assert Settings(port=9000, webrtc_port=0).effective_webrtc_port == 0
    assert Settings(port=9000, webrtc_port=40000).effective_webrtc_port == 40000


def test_ice_servers_are_json_in_the_terms_of_webrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    given = (
        '[{"urls": "stun:s.example"}, {"urls": "turn:t.example", "username": "u", "credential": "visible"}]'
    )
    monkeypatch.setenv("CAPTURE_ICE_SERVERS", given)
    settings = Settings()
    assert [server.urls for server in settings.ice_servers] == ["stun:s.example", "turn:t.example"]
    assert "visible" not in repr(settings)
    monkeypatch.setenv("CAPTURE_ICE_SERVERS", '[{"urls": "https://s.example"}]')
    with pytest.raises(ValidationError, match="ice_servers"):
        Settings()


def test_storage_is_a_folder_of_the_data_folder_unless_named(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).effective_storage_url == f"file://{tmp_path.resolve()}/objects"
    assert Settings(storage_url="file:///other").effective_storage_url == "file:///other"


def test_secrets_are_not_shown() -> None:
    settings = Settings(
        api_key="sk-visible",
        secret_key="key-visible",
        database_url="postgresql+asyncpg://u:pw-visible@h/d",
        redis_url="redis://:pw-visible@h",
    )
    assert "visible" not in repr(settings)


def test_a_language_model_that_is_passed_on_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTURE_LANGUAGE_URL", "")
    assert Settings().language_url is None

from app.base.settings import Settings
from workers.engines.registry import open_speech_engine
from workers.engines.whisper_local import WhisperLocal


def test_one_engine_for_the_same_settings() -> None:
    engine = open_speech_engine(Settings(speech_model=None))
    assert isinstance(engine, WhisperLocal)
    assert open_speech_engine(Settings(speech_model=None)) is engine
    assert open_speech_engine(Settings(speech_model="base.en")) is not engine

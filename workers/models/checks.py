"""Tries each engine on something small and real, and says what came of it."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from time import perf_counter
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from app.base.settings import Settings
from app.engines.contract import EngineError, ModelMissing, likelihood
from app.engines.registry import open_image_text_engine, open_sentence_engine
from app.media.pcm import decode_audio_file
from workers.engines.registry import (
    engine_records,
    open_language_engine,
    open_screen_text_engine,
    open_speech_engine,
)

State = Literal["OK", "missing", "broken"]

SAMPLES = files("workers.models") / "samples"
_SAID, _WRITTEN = "it was the worst of times", "Build 2481 has failed"
_LEAST_CLOSER = 0.3
_LEAST_LIKELIHOOD = 0.5


class WrongResult(EngineError):
    """The engine answered, but not what is on the sample."""

    code = "engine_wrong"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one engine; `words` say what it found, or why it does not work and what to do."""

    engine: str
    state: State
    words: str
    seconds: float


def check_engines(settings: Settings, tell: Callable[[Verdict], None]) -> list[Verdict]:
    """Load each engine in force and try it, one after the other; each is told as it is known."""
    checks = {
        "speech": _hears,
        "screen_text": _reads,
        "sentences": _compares,
        "image_text": _sees,
        "language": _answers,
    }
    verdicts = []
    for name in engine_records(settings):
        began = perf_counter()
        state: State = "OK"
        try:
            words = checks[name](settings)
        except EngineError as error:
            state, words = "missing" if isinstance(error, ModelMissing) else "broken", error.message
        verdict = Verdict(name, state, words, perf_counter() - began)
        tell(verdict)
        verdicts.append(verdict)
    return verdicts


def _hears(settings: Settings) -> str:
    with as_file(SAMPLES / "speech.ogg") as path:
        samples = np.concatenate(list(decode_audio_file(path)))
    text = open_speech_engine(settings).transcribe(samples).text
    return _told(text, _SAID in text.lower(), f"“{_SAID}”")


def _reads(settings: Settings) -> str:
    screen = Image.new("RGB", (640, 160), "white")
    ImageDraw.Draw(screen).text((40, 60), _WRITTEN, "black", ImageFont.load_default(28))
    encoded = io.BytesIO()
    screen.save(encoded, "PNG")
    text = " ".join(line.text for line in open_screen_text_engine(settings).read(encoded.getvalue()))
    return _told(text, _WRITTEN.replace(" ", "") in text.replace(" ", ""), f"“{_WRITTEN}”")


def _compares(settings: Settings) -> str:
    same, like, unlike = open_sentence_engine(settings).encode(
        ["The server is down.", "The server does not answer any more.", "A recipe for apple cake."]
    )
    near, far = float(same @ like), float(same @ unlike)
    said = f"closeness {near:.2f} of two sentences that mean the same, {far:.2f} of two that do not"
    if near - far < _LEAST_CLOSER:
        raise WrongResult(f"It cannot tell sentences apart: {said}. Are the weights those of the model?")
    return said


def _sees(settings: Settings) -> str:
    engine = open_image_text_engine(settings)
    pictures = engine.encode_pictures([(SAMPLES / "cat.jpg").read_bytes()])
    cat, rocket = likelihood(engine.encode_texts(["a cat", "a rocket launch"]) @ pictures[0])
    said = f"a photo of a cat is one with likelihood {cat:.2f}, a rocket with {rocket:.2f}"
    if cat < _LEAST_LIKELIHOOD or rocket >= _LEAST_LIKELIHOOD:
        raise WrongResult(f"It does not know a cat: {said}. Are the weights those of the model?")
    return said


def _answers(settings: Settings) -> str:
    engine = open_language_engine(settings)
    if engine is None:
        raise ModelMissing("No language model is set: CAPTURE_LANGUAGE_URL names one.")
    schema = {
        "type": "object",
        "properties": {"color": {"type": "string"}},
        "required": ["color"],
        "additionalProperties": False,
    }
    answer = asyncio.run(
        engine.answer("Name the color of the car in the text, in one word.", "A red car stands here.", schema)
    )
    return _told(str(answer["color"]), "red" in str(answer["color"]).lower(), "red")


def _told(found: str, is_right: bool, expected: str) -> str:
    if not is_right:
        raise WrongResult(f"It found “{found[:80]}” where {expected} is. Are the weights those of the model?")
    return f"“{found[:80]}”"

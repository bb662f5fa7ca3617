"""The speech engine at work for live streams: each piece of sound is recognised once."""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from app.base.settings import Settings
from workers.engines.contract import Transcript
from workers.engines.registry import decodes_at_once, open_speech_engine
from workers.tasks.cores import cores

REMEMBERED = 64  # pieces of sound


class Recogniser:
    """Recognises in threads of its own, which the worker's other jobs give way to.

    In the pause that may end an utterance its sound is heard for an interim; when the pause has ended it,
    the same sound is asked for again, and what was understood, or is just being, is the final.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(decodes_at_once(settings), thread_name_prefix="speech")
        self._heard: OrderedDict[tuple[str, int, str | None], asyncio.Future[Transcript]] = OrderedDict()

    async def hear(self, utterance_id: str, samples: NDArray[np.float32], language: str | None) -> Transcript:
        """What the first `samples` of the utterance say. Raises `EngineError`."""
        key = utterance_id, len(samples), language
        heard = self._heard.get(key)
        if heard is None or (heard.done() and (heard.cancelled() or heard.exception() is not None)):
            engine = open_speech_engine(self._settings)

            def transcribe() -> Transcript:
                with cores.speech():
                    return engine.transcribe(samples, language=language)

            heard = asyncio.get_running_loop().run_in_executor(self._threads, transcribe)
            self._heard[key] = heard
            while len(self._heard) > REMEMBERED:
                self._heard.popitem(last=False)
        return await asyncio.shield(heard)

"""Any language model behind an OpenAI-compatible URL, asked within limits and not while it is down."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.engines.contract import EngineFailed, EngineRecord
from workers.engines.answers import WrongAnswer, parse_answer
from workers.engines.chat_completions import ChatCompletions, EndpointDown, Question
from workers.engines.contract import LanguageCapabilities
from workers.engines.pause import Pause, Slowness
from workers.engines.turns import Turns

logger = logging.getLogger(__name__)

WAITING_EACH = 8  # for each request that is under way: a recording's pictures are described side by side
# Who waits for less does not wait for what the model is for, so that it takes longer is no trouble.
_SHORT_SECONDS = 1.5


class OpenAiCompatible:
    """`requests_at_once` go to the endpoint; more wait, who has the least time first, and too many do not."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        model: str,
        timeout_seconds: float,
        requests_at_once: int,
        pictures: bool,
    ) -> None:
        self._model = model
        self._endpoint = ChatCompletions(url, key=key, model=model)
        self._capabilities = LanguageCapabilities(pictures)
        self._timeout_seconds = timeout_seconds
        self._turns = Turns(requests_at_once, WAITING_EACH * requests_at_once)
        self._spells_schema = False
        self._pause, self._slowness = Pause(), Slowness()
        self._trouble: str | None = None

    @property
    def record(self) -> EngineRecord:
        return EngineRecord("openai_compatible", self._model, missing=self._trouble)

    @property
    def capabilities(self) -> LanguageCapabilities:
        return self._capabilities

    @property
    def trouble(self) -> str | None:
        return self._trouble

    def load(self) -> None:
        """Ask the endpoint whether it is there. Raises `EngineFailed`; it is asked again when needed."""
        try:
            self._endpoint.check()
        except EndpointDown as error:
            self._trouble = error.message
            raise

    async def answer(
        self,
        instructions: str,
        evidence: str,
        schema: dict[str, Any],
        *,
        pictures: Sequence[bytes] = (),
        limit_seconds: float | None = None,
    ) -> dict[str, Any]:
        """See the contract. A wrong answer is asked for once more, within the same limit."""
        limit = self._timeout_seconds if limit_seconds is None else min(limit_seconds, self._timeout_seconds)
        if limit <= 0:
            raise EngineFailed("No time was left for the language model.")
        question = Question(instructions, evidence, pictures, schema, spelled=self._spells_schema)
        self._refuse_in_pause(limit)
        began: float | None = None
        try:
            async with asyncio.timeout(limit), self._turns.turn(limit):
                self._refuse_in_pause(limit)
                self._pause.try_for(limit)
                self._slowness.try_for(limit)
                began = time.monotonic()
                found = await self._answered(question)
        except TimeoutError as error:
            slow = EngineFailed(f"The language model did not answer within {round(limit, 1):g} s.")
            if began is not None:
                self._slowness.failed(limit)
                self._note(slow, limit)
            raise slow from error
        except EngineFailed as error:
            if isinstance(error, EndpointDown):
                self._pause.failed(error.retry_after_seconds)
            if began is not None:
                self._note(error)
            raise
        self._pause.works()
        self._slowness.answered(time.monotonic() - began)
        self._trouble = None
        return found

    async def _answered(self, question: Question) -> dict[str, Any]:
        try:
            return parse_answer(await self._endpoint.ask(question), question.schema)
        except WrongAnswer:
            self._pause.works()
            spelled = replace(question, spelled=True)
        found = parse_answer(await self._endpoint.ask(spelled), question.schema)
        self._spells_schema = True  # it has followed what it was told in words
        return found

    def _refuse_in_pause(self, limit_seconds: float) -> None:
        if self._pause.is_on or self._slowness.is_on(limit_seconds):
            slow = f"The language model takes longer than {round(limit_seconds, 1):g} s at present."
            raise EngineFailed(self._trouble or slow)

    def _note(self, error: EngineFailed, limit_seconds: float | None = None) -> None:
        if limit_seconds is not None and limit_seconds < _SHORT_SECONDS:
            return
        if self._trouble != error.message:
            logger.warning("%s", error.message)
        self._trouble = error.message

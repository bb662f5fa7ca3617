"""The language engine against a real HTTP server that answers well, wrongly, late or not at all."""

import asyncio
import base64
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.base.settings import Settings
from app.engines.contract import EngineError, EngineFailed
from tests.fakes.language_server import Json, LanguageServer, Reply, language_server, says
from tests.fixtures.eventually import eventually
from workers.engines.answers import WrongAnswer
from workers.engines.chat_completions import MOST_ANSWER_BYTES, EndpointDown, RequestRefused
from workers.engines.openai_compatible import OpenAiCompatible
from workers.engines.registry import engine_records, open_language_engine, warm_engines
from workers.engines.turns import Turns

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
KEY, SPOKEN = "sk-very-secret", "what was said in confidence"
RIGHT: Json = {"text": "The build failed."}


@pytest.fixture
def server() -> Iterator[LanguageServer]:
    with language_server() as opened:
        yield opened


def engine_of(url: str, **more: Any) -> OpenAiCompatible:
    given = {"key": KEY, "model": "tiny", "timeout_seconds": 10.0, "requests_at_once": 2, "pictures": True}
    return OpenAiCompatible(url, **(given | more))


@pytest.fixture
def engine(server: LanguageServer) -> OpenAiCompatible:
    return engine_of(server.url)


async def ask(engine: OpenAiCompatible, **more: Any) -> Json:
    return await engine.answer("Tell what it shows.", SPOKEN, SCHEMA, **more)


async def test_a_question_and_its_answer(server: LanguageServer, engine: OpenAiCompatible) -> None:
    server.reply(says(RIGHT))
    assert await ask(engine) == RIGHT
    (body,) = server.asked
    assert body["model"] == "tiny"
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert body["messages"][1]["content"] == SPOKEN
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert server.keys == [f"Bearer {KEY}"]
    assert engine.trouble is None


async def test_pictures_go_along_as_data_urls(server: LanguageServer, engine: OpenAiCompatible) -> None:
    server.reply(says(RIGHT))
    pictures = [b"\x89PNG\r\n", b"\xff\xd8\xff"]
    await ask(engine, pictures=pictures)
    words, *shown = server.asked[0]["messages"][1]["content"]
    assert words == {"type": "text", "text": SPOKEN}
    assert [one["image_url"]["url"] for one in shown] == [
        f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
        for kind, picture in zip(("png", "jpeg"), pictures, strict=True)
    ]


@pytest.mark.parametrize("refusal", [b"unknown field response_format", b"schema conversion failed"])
async def test_who_knows_no_schema_is_told_it_in_words(
    server: LanguageServer, engine: OpenAiCompatible, refusal: bytes
) -> None:
    server.answer = lambda body: Reply(refusal, status=400) if "response_format" in body else says(RIGHT)
    assert await ask(engine) == RIGHT
    assert await ask(engine) == RIGHT
    refused, *told = server.asked
    assert "response_format" in refused
    assert len(told) == 2  # the second question does not try again
    assert all('"additionalProperties": false' in body["messages"][0]["content"] for body in told)


async def test_only_what_a_refusal_names_is_left_out(
    server: LanguageServer, engine: OpenAiCompatible
) -> None:
    refusal = Reply({"error": {"param": "max_tokens", "message": "Unsupported parameter"}}, status=400)
    server.answer = lambda body: refusal if "max_tokens" in body else says(RIGHT)
    assert await ask(engine) == RIGHT
    assert "response_format" in server.asked[-1]
    assert "temperature" in server.asked[-1]


@pytest.mark.parametrize(
    "content",
    [
        'Here it is:\n```json\n{"text": "The build failed."}\n```',
        '<think>Perhaps {"text": 1}?</think>{"text": "The build failed."} I hope that helps.',
        '{oh} {"text": "The build failed."}',
    ],
)
async def test_json_is_found_in_what_surrounds_it(
    server: LanguageServer, engine: OpenAiCompatible, content: str
) -> None:
    server.reply(says(content))
    assert await ask(engine) == RIGHT


WRONG = {
    "no JSON": says("The build failed."),
    "another schema": says({"text": 7}),
    "more than was asked for": says({"text": "x", "more": "y"}),
    "half of it": says('{"text": "The bui', finish="length"),
    "nothing": says(""),
    "no choices": Reply({"choices": []}),
    "no completion": Reply(b"<html>It works!</html>"),
    "a list": Reply([1]),
    "half a character": says('{"text": "\\ud83d"}'),
    "what no database keeps": says('{"text": "a\\u0000b"}'),
    "too long": Reply(b" " * (MOST_ANSWER_BYTES + 1)),
}


@pytest.mark.parametrize("reply", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_answer_is_asked_for_once_more(
    server: LanguageServer, engine: OpenAiCompatible, reply: Reply
) -> None:
    server.reply(reply)
    with pytest.raises(WrongAnswer) as raised:
        await ask(engine)
    assert len(server.asked) == 2
    assert '"additionalProperties": false' in server.asked[1]["messages"][0]["content"]
    assert engine.trouble == raised.value.message
    server.reply(says(RIGHT))  # it is not down: the next question is put to it
    assert await ask(engine) == RIGHT
    assert engine.trouble is None


async def test_who_ignores_the_schema_is_told_it_in_words_from_then_on(
    server: LanguageServer, engine: OpenAiCompatible
) -> None:
    server.answer = lambda body: says(
        RIGHT if "JSON Schema" in body["messages"][0]["content"] else "It failed, I think."
    )
    assert await ask(engine) == RIGHT
    assert await ask(engine) == RIGHT
    assert len(server.asked) == 3


DOWN = {
    "the key is refused": (Reply(status=401), "refuses the key (401)"),
    "forbidden": (Reply(status=403), "refuses the key (403)"),
    "no such model": (Reply(status=404), "has no model 'tiny' (404)"),
    "too many requests": (Reply(status=429, headers={"Retry-After": "30"}), "no more requests now (429)"),
    "it failed": (Reply(status=500), "failed (500)"),
    "moved": (Reply(status=302, headers={"Location": "http://127.0.0.1:1/"}), "failed (302)"),
    "half an answer": (Reply(b'{"choices": [1, 2, 3]}', cut=True), "does not answer (RemoteProtocolError)"),
}


@pytest.mark.parametrize(("reply", "reason"), DOWN.values(), ids=DOWN.keys())
async def test_who_is_down_is_left_alone_for_a_while(
    server: LanguageServer, engine: OpenAiCompatible, reply: Reply, reason: str
) -> None:
    server.reply(reply)
    with pytest.raises(EndpointDown) as raised:
        await ask(engine)
    assert reason in raised.value.message
    assert engine.trouble == raised.value.message
    server.reply(says(RIGHT))
    with pytest.raises(EngineFailed) as again:
        await ask(engine)
    assert again.value.message == raised.value.message
    assert len(server.asked) == 1


async def test_nobody_listens() -> None:
    with language_server() as gone:
        engine = engine_of(gone.url)
    with pytest.raises(EndpointDown, match="ConnectError"):
        await ask(engine)
    with pytest.raises(EndpointDown, match="ConnectError"):
        engine.load()


async def test_a_request_that_is_refused_says_nothing_of_the_next(
    server: LanguageServer, engine: OpenAiCompatible
) -> None:
    server.reply(Reply(b"the prompt is too long", status=400))
    with pytest.raises(RequestRefused):
        await ask(engine)
    server.reply(says(RIGHT))
    assert await ask(engine) == RIGHT
    assert "response_format" in server.asked[-1]  # what was left out in vain is sent again


async def test_who_is_slow_is_asked_by_those_with_more_time(
    server: LanguageServer, engine: OpenAiCompatible
) -> None:
    server.hang()
    with pytest.raises(EngineFailed, match=r"within 0\.1 s"):
        await ask(engine, limit_seconds=0.1)
    assert engine.trouble is None  # so short a limit says nothing of the endpoint
    with pytest.raises(EngineFailed, match=r"longer than 0\.1 s"):
        await ask(engine, limit_seconds=0.1)
    assert len(server.asked) == 1
    server.reply(says(RIGHT))
    assert await ask(engine) == RIGHT
    assert await ask(engine, limit_seconds=1) == RIGHT  # it took less than those who waited in vain
    with pytest.raises(EngineFailed, match="No time"):
        await ask(engine, limit_seconds=0)


async def test_its_own_limit_is_the_longest(server: LanguageServer) -> None:
    server.hang()
    engine = engine_of(server.url, timeout_seconds=0.1)
    with pytest.raises(EngineFailed, match=r"within 0\.1 s"):
        await ask(engine, limit_seconds=60)


async def test_so_many_at_once_and_who_has_the_least_time_first(server: LanguageServer) -> None:
    engine = engine_of(server.url, requests_at_once=1)
    server.answer = lambda body: Reply(
        says({"text": body["messages"][1]["content"]}).body, after=server.released
    )
    order: list[str] = []

    async def ask_about(evidence: str, limit_seconds: float) -> None:
        await engine.answer("Repeat it.", evidence, SCHEMA, limit_seconds=limit_seconds)
        order.append(evidence)

    limits = {"first": 10.0, "a recording": 10.0, "a live record": 9.0, "an alert": 8.0}
    async with asyncio.TaskGroup() as group:
        for evidence, limit in limits.items():
            group.create_task(ask_about(evidence, limit))
        await eventually(lambda: len(server.asked) == 1)
        server.released.set()
    assert order == ["first", "an alert", "a live record", "a recording"]


async def test_too_many_do_not_wait() -> None:
    turns = Turns(1, most_waiting=1)

    async def take() -> None:
        async with turns.turn(1):
            pass

    async with turns.turn(1):
        waiting = asyncio.create_task(take())
        await asyncio.sleep(0)
        with pytest.raises(EngineFailed, match="Too much waits"):
            await take()
        waiting.cancel()
        await asyncio.wait([waiting])
        after = asyncio.create_task(take())  # who gave up has left his place
        await asyncio.sleep(0)
    await after
    await take()


async def test_a_turn_that_was_given_to_one_who_gives_up_is_passed_on() -> None:
    turns = Turns(1, most_waiting=2)

    async def take() -> None:
        async with turns.turn(1):
            pass

    async with turns.turn(1):
        gives_up, next_one = asyncio.create_task(take()), asyncio.create_task(take())
        await asyncio.sleep(0)
    gives_up.cancel()
    await asyncio.wait([gives_up])
    await asyncio.wait_for(next_one, 5)


async def test_no_secret_and_nothing_that_was_said_is_told(
    server: LanguageServer, engine: OpenAiCompatible, caplog: pytest.LogCaptureFixture
) -> None:
    server.reply(Reply(f"I do not like {SPOKEN} and {KEY}".encode(), status=500))
    with caplog.at_level(logging.INFO, "workers"), pytest.raises(EngineError) as raised:
        await ask(engine)
    told = raised.value.message + caplog.text
    assert "failed (500)" in told
    assert SPOKEN not in told
    assert KEY not in told


def test_the_settings_open_it_and_hide_what_is_secret(server: LanguageServer) -> None:
    settings = Settings(language_url=server.url + "/v1/", language_key=KEY, language_pictures=True)
    engine = open_language_engine(settings)
    assert engine is not None
    assert engine.capabilities.pictures
    assert open_language_engine(settings) is engine
    assert open_language_engine(Settings(language_url=None)) is None
    assert KEY not in repr(settings)
    assert server.url not in repr(settings)
    engine.load()


async def test_a_worker_says_why_it_goes_on_without(server: LanguageServer) -> None:
    settings = Settings(language_url=server.url)
    engine = open_language_engine(settings)
    assert engine is not None
    server.reply(Reply(status=401))
    with pytest.raises(EndpointDown):
        await engine.answer("", "", SCHEMA)
    assert engine_records(settings)["language"].missing == (
        "The language model's endpoint refuses the key (401)."
    )
    assert "language" not in engine_records(Settings(language_url=None))


def test_warming_asks_whether_it_is_there() -> None:
    with language_server() as gone:
        url = gone.url
    settings = Settings(language_url=url)
    warm_engines(settings)
    missing = engine_records(settings)["language"].missing
    assert missing == "The language model's endpoint does not answer (ConnectError)."

"""Records that a client has brought along for an index of a recording."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.base.errors import InvalidRequest
from app.base.ids import new_id
from app.domain.assets.models import Asset
from app.domain.indexes.models import IndexRecord, SceneIndex
from app.domain.passages.service import Findable, add_passages
from app.domain.search.fields import METADATA
from app.domain.understanding.fields import Schema

Json = dict[str, Any]
MOST_GIVEN = 10_000
LONGEST_SECONDS = 1e7
MAX_TEXT_CHARACTERS = 2000
_OWN = ("start", "end", "scene_id", "start_sec", "end_sec", "segment_id")


@dataclass(frozen=True, slots=True)
class GivenRecord:
    """A record as it was given; times in microseconds from the recording's start."""

    id: str
    start_us: int
    end_us: int
    data: Json


def read_given(scenes: Sequence[Any]) -> list[GivenRecord]:
    """Records such as `{"start": 0.0, "end": 4.0, "label": "intro"}`, times in seconds; what an analyzer's
    output has in `data` may be given back as it is.

    Raises `InvalidRequest` naming the record.
    """
    if not 0 < len(scenes) <= MOST_GIVEN:
        raise InvalidRequest(f"source.scenes must hold 1 to {MOST_GIVEN} records", field="source.scenes")
    found: dict[str, GivenRecord] = {}
    for number, scene in enumerate(scenes):
        where = f"source.scenes[{number}]"
        if not isinstance(scene, dict):
            raise InvalidRequest(f"{where} must be an object", field=where)
        start, end = (_seconds(scene, name, where) for name in ("start", "end"))
        if end <= start:
            raise InvalidRequest(f"{where}: end must be later than start", field=f"{where}.end")
        id_ = str(scene.get("scene_id") or scene.get("segment_id") or number)[:100]
        if id_ in found:
            raise InvalidRequest(f"{where}: this scene_id was given before", field=f"{where}.scene_id")
        data = {name: value for name, value in scene.items() if name not in _OWN}
        inner = data.get("data")
        found[id_] = GivenRecord(
            id_, round(start * 1e6), round(end * 1e6), inner if isinstance(inner, dict) else data
        )
    return list(found.values())


def _seconds(scene: Json, name: str, where: str) -> float:
    value = scene.get(name, scene.get(f"{name}_sec"))
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not 0 <= value <= LONGEST_SECONDS
    ):
        raise InvalidRequest(f"{where}.{name} must be a time in seconds", field=f"{where}.{name}")
    return value


async def keep_given(
    session: AsyncSession, asset: Asset, name: str, records: Sequence[GivenRecord], schema: Schema
) -> SceneIndex:
    """Keep the records as an output of their own, found by the text of their semantic fields."""
    output = SceneIndex(
        id=new_id("idx"),
        account_id=asset.account_id,
        asset_id=asset.id,
        kind="visual",
        name=name,
        prompt="",
        extraction={"type": "given", "config": {}},
        status="ready",
    )
    session.add(output)
    await session.flush()
    semantic = [field for field, shape in schema.items() if "semantic" in shape["groups"]]
    rows: list[Json] = []
    found: list[Findable] = []
    for record in records:
        text = " ".join(part for field in semantic for part in _texts(record.data, field.split(".")))
        row: Json = {
            "id": new_id("rec"),
            "index_id": output.id,
            "source_id": f"given:{record.id}",
            "start_us": record.start_us,
            "end_us": record.end_us,
            "text": text[:MAX_TEXT_CHARACTERS],
            "details": {METADATA: record.data},
        }
        rows.append(row)
        found.append(
            Findable(
                asset.account_id,
                output.kind,
                record.start_us,
                record.end_us,
                [row["text"]],
                asset_id=asset.id,
                record_id=row["id"],
                index_id=output.id,
            )
        )
    await session.execute(insert(IndexRecord), rows)
    await add_passages(session, found)
    return output


def _texts(value: Any, path: Sequence[str]) -> list[str]:
    """The texts at a path, of every element where it crosses a list."""
    if isinstance(value, list):
        return [text for one in value for text in _texts(one, path)]
    if not path:
        return [value] if isinstance(value, str) else []
    return _texts(value.get(path[0]), path[1:]) if isinstance(value, dict) else []

"""Records asked by their fields: the database against a naive evaluation of the same documents."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.base.errors import InvalidRequest
from app.domain.search.filters import AllOf, AnyOf, Condition, Filter, NoneOf, read_filter
from app.domain.understanding.fields import derived_schema
from app.domain.understanding.given import keep_given, read_given
from app.domain.understanding.models import NamedIndex
from app.domain.understanding.named_indexes import name_output
from app.domain.understanding.records import count_groups, query_records, read_order, records_page
from app.process import Context
from tests.fixtures.factories import make_asset, make_tenant

Json = dict[str, Any]
LABELS = ["intro", "demo", "Introduction", "it's", '"$']
SCENES: list[Json] = [
    {"start": 0, "end": 5, "label": "intro", "score": 0.5, "tags": ["a", "b"], "seen": True},
    {"start": 5, "end": 9, "label": "demo", "score": 2, "tags": ["b"], "people": [{"name": "Ann"}]},
    {"start": 5, "end": 7, "label": "demo", "score": -1.5, "tags": [], "seen": False},
    {"start": 9, "end": 20, "label": "Introduction", "people": [{"name": "Bob"}, {"name": "Ann"}]},
    {"start": 30, "end": 31, "label": "it's", "score": 2, "tags": ['"$', "a"], "seen": None},
    {"start": 31, "end": 40, "label": '"$', "score": 1e9},
]
FIELDS = ["label", "score", "tags", "seen", "people.name", "start", "end"]
GROUPS = {"filter": FIELDS[:5], "aggregate": FIELDS[:5], "sort": ["label", "score"]}


@pytest.fixture
async def index(context: Context) -> NamedIndex:
    asset = await make_asset(context, await make_tenant(context))
    records = read_given(SCENES)
    schema = derived_schema(record.data for record in records)
    schema = {
        name: shape
        | {"groups": [group for group in GROUPS if name in GROUPS[group] or name in ("start", "end")]}
        for name, shape in schema.items()
    }
    async with context.db.transaction() as session:
        output = await keep_given(session, asset, "segments", records, schema)
        return await name_output(
            session,
            output,
            name="segments",
            analyzer_type="scenes",
            source={},
            use_for=["query", "aggregate"],
            schema=schema,
        )


def values_of(scene: Json, field: str) -> list[Any]:
    """What a path leads to, of every element where it crosses a list."""
    found: list[Any] = [scene]
    for step in field.split("."):
        flat = [one for value in found for one in (value if isinstance(value, list) else [value])]
        found = [one[step] for one in flat if isinstance(one, dict) and step in one]
    return [one for value in found for one in (value if isinstance(value, list) else [value])]


def holds(scene: Json, wanted: Filter) -> bool:
    match wanted:
        case AllOf(parts):
            return all(holds(scene, part) for part in parts)
        case AnyOf(parts):
            return any(holds(scene, part) for part in parts)
        case NoneOf(parts):
            return not any(holds(scene, part) for part in parts)
        case Condition(field, operator, value):
            return any(compares(one, operator, value) for one in values_of(scene, field))


def compares(one: Any, operator: str, value: Any) -> bool:
    match operator:
        case "exists":
            return one is not None
        case "contains":
            return one is not None and str(value).lower() in str(one).lower()
        case "in":
            return any(compares(one, "==", each) for each in value)
        case "==":
            return (type(one) is type(value) and bool(one == value)) or (
                is_number(one, value) and one == value
            )
    if not is_number(one, value):
        return False
    return bool({">": one > value, ">=": one >= value, "<": one < value, "<=": one <= value}[operator])


def is_number(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


NUMBERS = st.sampled_from([-1.5, 0, 0.5, 2, 5, 9, 1e9])
TEXTS = st.sampled_from([*LABELS, "a", "b", "Ann", "nobody", "int"])


def condition(
    fields: list[str], operators: list[str], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[Json]:
    def of(field: str, operator: str) -> st.SearchStrategy[Json]:
        value = st.lists(values, min_size=1, max_size=3) if operator == "in" else values
        return st.fixed_dictionaries({"field": st.just(field), "op": st.just(operator), "value": value})

    return st.sampled_from([(field, operator) for field in fields for operator in operators]).flatmap(
        lambda pair: of(*pair)
    )


CONDITIONS = st.one_of(
    condition(["label", "people.name", "tags"], ["==", "!=", "in", "contains"], TEXTS),
    condition(["score", "start", "end"], ["==", "!=", ">", ">=", "<", "<=", "in"], NUMBERS),
    condition(["seen"], ["==", "!="], st.booleans()),
    condition(["label", "score", "seen", "people.name"], ["exists"], st.booleans()),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.fixed_dictionaries({"and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)
ON_ONE_DATABASE = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def test_a_filter_finds_what_it_says(context: Context, index: NamedIndex) -> None:
    examples: list[tuple[Any, Filter]] = []

    @ON_ONE_DATABASE
    @given(FILTERS)
    def collect(asked: Any) -> None:
        wanted = read_filter(asked)
        assert wanted is not None
        examples.append((asked, wanted))

    collect()
    async with context.db.transaction() as session:
        for asked, wanted in examples:
            found = await query_records(session, [index], wanted, read_order([["start", "asc"]]), 100)
            expected = [scene for scene in SCENES if holds(scene, wanted)]
            assert sorted((one.start_us // 10**6, one.end_us // 10**6) for one in found) == sorted(
                (scene["start"], scene["end"]) for scene in expected
            ), asked
            for field in ("label", "tags", "people.name", "score"):
                rows = await count_groups(session, [index], wanted, field, [], 100)
                counted = Counter(value for scene in expected for value in set(values_of(scene, field)))
                assert {row[field]: row["count"] for row in rows} == dict(counted), (asked, field)
            assert await count_groups(session, [index], wanted, None, [], 1) == [{"count": len(expected)}]


async def test_records_in_order(context: Context, index: NamedIndex) -> None:
    async def starts(sort: object, limit: int = 100) -> list[int]:
        async with context.db.transaction() as session:
            found = await query_records(session, [index], None, read_order(sort), limit)
        return [one.start_us // 10**6 for one in found]

    assert await starts(None) == [0, 5, 5, 9, 30, 31]
    assert await starts("start") == [31, 30, 9, 5, 5, 0]  # a name alone goes down
    assert await starts([["score", "asc"]]) == [5, 0, 5, 30, 31, 9]  # what has none comes last
    assert await starts([["score", "desc"], ["start", "desc"]], 3) == [31, 30, 5]


async def test_groups_in_order(context: Context, index: NamedIndex) -> None:
    async def groups(sort: object, limit: int = 100) -> list[Json]:
        async with context.db.transaction() as session:
            return await count_groups(session, [index], None, "tags", read_order(sort), limit)

    assert (await groups(None))[-1] == {"tags": '"$', "count": 1}
    assert await groups([["tags", "asc"]], 1) == [{"tags": '"$', "count": 1}]
    assert [row["count"] for row in await groups([["count", "asc"]])] == [1, 2, 2]


async def test_records_page_by_page(context: Context, index: NamedIndex) -> None:
    seen: list[int] = []
    cursor: str | None = None
    async with context.db.transaction() as session:
        for _ in range(3):
            page, cursor = await records_page(session, index, cursor, 2)
            seen += [one.start_us // 10**6 for one in page]
        assert (seen, cursor) == ([0, 5, 5, 9, 30, 31], None)
        for wrong in ("x", "5", ".", "9" * 30 + ".x", "1.x.y"[:2]):
            with pytest.raises(InvalidRequest) as raised:
                await records_page(session, index, wrong, 2)
            assert raised.value.field == "cursor"


@pytest.mark.parametrize("sort", [7, {}, [["start"]], [["start", "up"]], [[1, "asc"]], ["start"] * 6])
def test_orders_that_are_refused(sort: object) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_order(sort)
    assert raised.value.field == "sort"


@pytest.mark.parametrize(
    "scene",
    [
        7,
        {"start": 0},
        {"start": 1, "end": 1},
        {"start": -1, "end": 1},
        {"start": True, "end": 2},
        {"start": 0, "end": float("nan")},
        {"start": 0, "end": 1e300},
    ],
)
def test_records_that_are_refused(scene: object) -> None:
    with pytest.raises(InvalidRequest, match=r"source.scenes\[1\]"):
        read_given([{"start": 0, "end": 1, "scene_id": "a"}, scene])

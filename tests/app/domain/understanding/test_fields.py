from typing import Any

import pytest

from app.base.errors import InvalidRequest
from app.domain.search.filters import read_filter
from app.domain.understanding.fields import (
    MOST_FIELDS,
    check_filter,
    derived_schema,
    fields_of,
    merged,
    read_use_for,
    schema_of,
    with_groups,
)

RECORDS = [
    {"label": "intro", "score": 0.5, "seen": True, "tags": ["a", "b"], "at": {"place": "home"}},
    {"label": "demo", "summary": "somebody shows how the product is used", "people": [{"name": "Ann"}]},
]


def types_of(records: list[dict[str, Any]]) -> dict[str, str]:
    schema = derived_schema(records)
    return {name: shape["type"] for name, shape in schema.items() if name not in ("start", "end")}


def test_fields_are_known_by_what_they_hold() -> None:
    assert types_of(RECORDS) == {
        "label": "string",
        "score": "number",
        "seen": "boolean",
        "tags": "string_array",
        "at.place": "string",
        "summary": "text",
        "people.name": "string",
    }
    assert types_of([{"x": "one word"}, {"x": "and here are five words"}]) == {"x": "text"}
    assert types_of([{"x": None, "y": [], "a.b": 1, "": 2}]) == {}


def test_what_each_field_may_be_asked_for() -> None:
    groups = fields_of(derived_schema(RECORDS))
    assert groups == {
        "semantic": ["summary"],
        "filter": ["label", "score", "seen", "tags", "summary", "start", "end"],
        "aggregate": ["label", "score", "seen", "tags"],
        "sort": ["score", "start", "end"],
    }
    asked = with_groups(derived_schema(RECORDS), {"filter": ["at.place"], "semantic": []})
    assert fields_of(asked)["filter"] == ["at.place"]
    assert fields_of(asked)["semantic"] == []
    assert fields_of(asked)["aggregate"] == groups["aggregate"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ([], "fields"),
        ({"colour": ["label"]}, "fields.colour"),
        ({"filter": "label"}, "fields.filter"),
        ({"filter": ["nothing"]}, "nothing"),
    ],
)
def test_groups_that_are_refused(fields: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        with_groups(derived_schema(RECORDS), fields)
    assert raised.value.field == field


def test_what_an_index_is_good_for() -> None:
    text, none = derived_schema(RECORDS), derived_schema([{"label": "intro"}])
    assert read_use_for(None, text) == ["semantic", "query", "aggregate"]
    assert read_use_for(None, none) == ["query", "aggregate"]
    assert read_use_for("search", text) == ["semantic"]
    assert read_use_for(["aggregate", "query"], none) == ["query", "aggregate"]
    for refused in (["semantic"], ["magic"], [], [7]):
        with pytest.raises(InvalidRequest, match="use_for"):
            read_use_for(refused, none)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"field": "colour", "op": "==", "value": "red"}, "colour"),
        ({"not": {"field": "at.place", "op": "==", "value": "home"}}, "at.place"),  # in no group
        ({"field": "summary", "op": "==", "value": "x"}, "summary"),
        ({"field": "score", "op": "contains", "value": "5"}, "score"),
        ({"field": "score", "op": ">", "value": "5"}, "score"),
        ({"field": "label", "op": "in", "value": ["x", 5]}, "label"),
        ({"field": "seen", "op": "==", "value": "yes"}, "seen"),
    ],
)
def test_filters_that_an_index_refuses(asked: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_filter(read_filter(asked), derived_schema(RECORDS))
    assert raised.value.field == field


def test_indexes_of_one_name_are_asked_for_what_any_allows() -> None:
    both = merged([derived_schema([{"a": 1}]), derived_schema([{"b": "x"}])])
    check_filter(read_filter([{"field": "a", "op": ">", "value": 0}, {"field": "b", "value": "x"}]), both)


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=str(MOST_FIELDS)):
        derived_schema([{f"f{number}": 1 for number in range(MOST_FIELDS + 1)}])


@pytest.mark.parametrize("analyzer_type", ["vlm", "ocr", "spoken_words"])
def test_what_analyzers_find_has_text_to_search(analyzer_type: str) -> None:
    assert fields_of(schema_of(analyzer_type))["semantic"]

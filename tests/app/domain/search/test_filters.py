from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import InvalidRequest
from app.domain.search.filters import (
    MAX_CONDITIONS,
    AllOf,
    AnyOf,
    Condition,
    Filter,
    NoneOf,
    conditions_of,
    read_filter,
)

HIRING = {"field": "topic", "op": "==", "value": "hiring"}


def test_nothing_is_no_filter() -> None:
    assert [read_filter(value) for value in (None, [], {})] == [None, None, None]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (HIRING, Condition("topic", "==", "hiring")),
        ([HIRING], Condition("topic", "==", "hiring")),
        ({"topic": "hiring"}, Condition("topic", "==", "hiring")),
        ({"topic": ["a", "b"]}, Condition("topic", "in", ("a", "b"))),
        (
            [{"camera_view": "road_ahead"}, {"action_type": "chasing"}],
            AllOf(
                (
                    Condition("camera_view", "==", "road_ahead"),
                    Condition("action_type", "==", "chasing"),
                )
            ),
        ),
        ({"field": "size", "op": "gte", "value": 3}, Condition("size", ">=", 3)),
        ({"field": "size", "op": "!=", "value": 3}, NoneOf((Condition("size", "==", 3),))),
        ({"field": "size", "op": "exists"}, Condition("size", "exists", True)),
        ({"field": "size", "op": "exists", "value": False}, NoneOf((Condition("size", "exists", True),))),
        ({"or": [HIRING, HIRING]}, AnyOf((Condition("topic", "==", "hiring"),) * 2)),
        ({"not": HIRING}, NoneOf((Condition("topic", "==", "hiring"),))),
        (
            {"and": [{"or": [HIRING]}, {"not": HIRING}]},
            AllOf(
                (
                    AnyOf((Condition("topic", "==", "hiring"),)),
                    NoneOf((Condition("topic", "==", "hiring"),)),
                )
            ),
        ),
    ],
)
def test_what_is_asked_is_what_is_meant(asked: object, meant: Filter) -> None:
    assert read_filter(asked) == meant


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("topic", "filter"),
        ([HIRING, 3], "filter[1]"),
        ({"field": "topic", "op": "like", "value": "x"}, "filter.op"),
        ({"field": "topic", "op": ["=="], "value": "x"}, "filter.op"),
        ({"field": "topic", "op": "=="}, "filter.value"),
        ({"field": "", "value": 1}, "filter.field"),
        ({"field": "a\x00", "value": 1}, "filter.field"),
        ({"field": 3, "value": 1}, "filter.field"),
        ({"field": "topic", "value": "x", "values": 1}, "filter.values"),
        ({"field": "topic", "op": "in", "value": "x"}, "filter.value"),
        ({"field": "topic", "op": "in", "value": []}, "filter.value"),
        ({"field": "topic", "op": "contains", "value": ""}, "filter.value"),
        ({"field": "topic", "op": ">", "value": None}, "filter.value"),
        ({"field": "topic", "value": float("nan")}, "filter.value"),
        ({"field": "topic", "value": "\ud800"}, "filter.value"),
        ({"field": "topic", "value": {"a": 1}}, "filter.value"),
        ({"and": []}, "filter.and"),
        ({"and": [HIRING], "or": [HIRING]}, "filter"),
        ({"and": [HIRING, {"not": {"field": "x"}}]}, "filter.and[1].not[0].value"),
        ([HIRING] * (MAX_CONDITIONS + 1), "filter"),
    ],
)
def test_a_mistake_is_named_by_its_place(asked: object, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_filter(asked)
    assert raised.value.field == field


def test_a_filter_nested_without_end_is_refused() -> None:
    nested: Any = HIRING
    for _ in range(2000):
        nested = {"not": nested}
    with pytest.raises(InvalidRequest, match="nested"):
        read_filter(nested)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["field", "op", "value", "and", "or", "not", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_is_a_filter_or_refused_by_its_place(asked: object) -> None:
    field, found = "filter", None
    try:
        found = read_filter(asked)
    except InvalidRequest as error:
        field = error.field or ""
    assert field.startswith("filter")
    assert all(condition.field for condition in conditions_of(found or AllOf(())))

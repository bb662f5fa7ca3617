"""Conditions of filters in SQL: on columns, and on paths through JSON documents."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH
from sqlalchemy.orm import InstrumentedAttribute

from app.base.errors import InvalidRequest
from app.domain.search.filters import Condition, Scalar

Column = ColumnElement[Any] | InstrumentedAttribute[Any]


def text_condition(column: Column, condition: Condition) -> ColumnElement[bool]:
    """The condition on a column of text, case aside in `contains` alone.

    Raises `InvalidRequest` that names the field for a value of another kind.
    """
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if condition.operator != "exists" and not all(isinstance(one, str) or one is None for one in values):
        raise _wrong(condition, "is compared with a text")
    return _compared(column, condition)


def number_condition(column: Column, condition: Condition, *, scale: float = 1) -> ColumnElement[bool]:
    """The condition on a column of numbers, of which `scale` make one of the condition's.

    Raises `InvalidRequest` that names the field for a value of another kind.
    """
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if condition.operator == "contains":
        raise _wrong(condition, "is a number, which contains nothing")
    if condition.operator == "exists":
        return _compared(column, condition)
    numbers = []
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise _wrong(condition, "is compared with a number")
        if abs(one) * scale >= 2**63:
            raise _wrong(condition, "is never so large")
        numbers.append(round(one * scale) if scale != 1 else one)
    scaled = tuple(numbers) if isinstance(condition.value, tuple) else numbers[0]
    return _compared(column, Condition(condition.field, condition.operator, scaled))


def json_condition(document: Column, path: Sequence[str], condition: Condition) -> ColumnElement[bool]:
    """The condition on what lies at `path` of a JSONB document, whatever the condition calls its field.

    Where the path crosses a list one element that satisfies it is enough.
    """
    place = "$" + "".join("." + json.dumps(step) for step in path)
    if condition.operator == "exists":
        return func.jsonb_path_exists(document, cast(f"{place} ? (@ != null)", JSONPATH))
    if condition.operator == "contains":
        found = func.jsonb_path_query(document, cast(place + "[*]", JSONPATH)).column_valued("found")
        held = cast(found, JSONB).op("#>>")(literal([], ARRAY(Text)))
        return exists(select(found).where(func.strpos(func.lower(held), _lower(condition)) > 0))
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    operator = "==" if condition.operator == "in" else condition.operator
    tests = " || ".join(f"@ {operator} $v{number}" for number in range(len(values)))
    named = {f"v{number}": value for number, value in enumerate(values)}
    return func.jsonb_path_exists(document, cast(f"{place} ? ({tests})", JSONPATH), literal(named, JSONB))


def _compared(column: Column, condition: Condition) -> ColumnElement[bool]:
    value = condition.value
    match condition.operator:
        case "exists":
            return column.is_not(None)
        case "in":
            assert isinstance(value, tuple)
            return or_(column.in_([one for one in value if one is not None]), _null_among(column, value))
        case "contains":
            return func.strpos(func.lower(column), _lower(condition)) > 0
        case "==":
            return column.is_(None) if value is None else column == value
        case ">":
            return column > value
        case ">=":
            return column >= value
        case "<":
            return column < value
        case "<=":
            return column <= value


def _null_among(column: Column, values: tuple[Scalar, ...]) -> ColumnElement[bool]:
    return column.is_(None) if None in values else literal(False)


def _lower(condition: Condition) -> str:
    return str(condition.value).lower()


def _wrong(condition: Condition, message: str) -> InvalidRequest:
    return InvalidRequest(f"filter: {condition.field} {message}", field=condition.field)

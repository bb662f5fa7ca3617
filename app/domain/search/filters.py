"""Reads the filters of search requests, today's and the old ones, into conditions on fields.

Today's are `{"field": "topic", "op": "==", "value": "hiring"}`, composed by `{"and": […]}`, `{"or": […]}` and
`{"not": …}`; the old ones are `{"topic": "hiring"}`. All of a list must hold.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, and_, false, func, not_, or_, true

from app.base.errors import InvalidRequest

Operator = Literal["==", ">", ">=", "<", "<=", "in", "contains", "exists"]
Scalar = str | int | float | bool | None

MAX_CONDITIONS = 50
MAX_DEPTH = 8
MAX_FIELD_CHARACTERS = 200
MAX_VALUE_CHARACTERS = 1000
MAX_VALUES = 100
_COMPOSED = ("and", "or", "not")
_OPERATORS: tuple[Operator, ...] = get_args(Operator)
_IS_NOT = "!="
_ALSO_SPELT = {"=": "==", "eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field must be. `value` is a tuple for `in`, and else one scalar.

    `!=` is read as none of `==`, which holds where the field is missing too; likewise an `exists` of false.
    """

    field: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class NoneOf:
    """None of the parts holds."""

    parts: tuple["Filter", ...]


Filter = Condition | AllOf | AnyOf | NoneOf
ConditionAsSql = Callable[[Condition], ColumnElement[bool]]


def read_filter(value: object) -> Filter | None:
    """The filter of a request, an object or a list of them; None for an empty one.

    Raises `InvalidRequest` that names the part which is wrong, `filter[1].op`.
    """
    if value is None or value == [] or value == {}:
        return None
    found = _read(value, "filter", 0)
    if sum(1 for _ in conditions_of(found)) > MAX_CONDITIONS:
        raise _mistake("filter", f"may have {MAX_CONDITIONS} conditions")
    return found


def conditions_of(filter_: Filter) -> list[Condition]:
    """All conditions of a filter, in the order in which they were written."""
    if isinstance(filter_, Condition):
        return [filter_]
    return [condition for part in filter_.parts for condition in conditions_of(part)]


def filter_as_sql(filter_: Filter, condition_as_sql: ConditionAsSql) -> ColumnElement[bool]:
    """The filter in SQL, each condition as `condition_as_sql` has it; what is unknown there does not hold."""
    if isinstance(filter_, Condition):
        return func.coalesce(condition_as_sql(filter_), false())
    parts = [filter_as_sql(part, condition_as_sql) for part in filter_.parts]
    if isinstance(filter_, AllOf):
        return and_(true(), *parts)
    any_part = or_(false(), *parts)
    return any_part if isinstance(filter_, AnyOf) else not_(any_part)


def _read(value: object, where: str, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise _mistake(where, f"may be nested {MAX_DEPTH} deep")
    if isinstance(value, list):
        return _all_of([_read(part, f"{where}[{number}]", depth + 1) for number, part in enumerate(value)])
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise _mistake(where, "must be an object such as {field, op, value}, or a list of them")
    composed = [name for name in _COMPOSED if name in value]
    if composed and "field" not in value:
        if len(value) > 1:
            raise _mistake(where, f"{composed[0]} must stand alone in its object")
        return _read_composed(composed[0], value[composed[0]], f"{where}.{composed[0]}", depth)
    if "field" in value:
        return _read_condition(value, where)
    return _all_of([_read_old(name, wanted, where) for name, wanted in value.items()])


def _all_of(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _read_composed(name: str, value: object, where: str, depth: int) -> Filter:
    several = value if isinstance(value, list) else [value]
    parts = tuple(_read(part, f"{where}[{number}]", depth + 1) for number, part in enumerate(several))
    if not parts:
        raise _mistake(where, "must hold at least one condition")
    if name == "and":
        return AllOf(parts)
    return AnyOf(parts) if name == "or" else NoneOf(parts)


def _read_condition(value: dict[str, Any], where: str) -> Filter:
    name = value.get("op", value.get("operator", "=="))
    name = _ALSO_SPELT.get(name, name) if isinstance(name, str) else ""
    if name != _IS_NOT and name not in _OPERATORS:
        raise _mistake(f"{where}.op", "must be ==, !=, >, >=, <, <=, in, contains or exists")
    unknown = set(value) - {"field", "op", "operator", "value"}
    if unknown:
        raise _mistake(f"{where}.{min(unknown)}", "is no part of a condition")
    if "value" not in value and name != "exists":
        raise _mistake(f"{where}.value", "is required")
    if name == _IS_NOT:
        return NoneOf((_condition(value["field"], "==", value["value"], where),))
    operator = next(operator for operator in _OPERATORS if operator == name)
    found = _condition(value["field"], operator, value.get("value", True), where)
    return NoneOf((replace(found, value=True),)) if found.value is False and name == "exists" else found


def _read_old(name: str, wanted: object, where: str) -> Condition:
    return _condition(name, "in" if isinstance(wanted, list) else "==", wanted, f"{where}.{name}"[:200])


def _condition(field: object, operator: Operator, value: object, where: str) -> Condition:
    if not isinstance(field, str) or not 0 < len(field) <= MAX_FIELD_CHARACTERS or _is_unstorable(field):
        raise _mistake(f"{where}.field", f"must be a name of at most {MAX_FIELD_CHARACTERS} characters")
    if operator == "in":
        if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
            raise _mistake(f"{where}.value", f"must be a list of 1 to {MAX_VALUES} values")
        return Condition(field, operator, tuple(_scalar(one, f"{where}.value") for one in value))
    if operator == "exists":
        if not isinstance(value, bool):
            raise _mistake(f"{where}.value", "must be true or false")
        return Condition(field, operator, value)
    scalar = _scalar(value, f"{where}.value")
    if operator == "contains" and not (isinstance(scalar, str) and scalar):
        raise _mistake(f"{where}.value", "must be a text")
    if operator in (">", ">=", "<", "<=") and (scalar is None or isinstance(scalar, bool)):
        raise _mistake(f"{where}.value", "must be a number or a text")
    return Condition(field, operator, scalar)


def _scalar(value: object, where: str) -> Scalar:
    if isinstance(value, str):
        if len(value) > MAX_VALUE_CHARACTERS or _is_unstorable(value):
            raise _mistake(where, f"must be a text of at most {MAX_VALUE_CHARACTERS} characters")
        return value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2**63:
        return value
    raise _mistake(where, "must be a text, a number, true, false or null")


def _is_unstorable(text: str) -> bool:
    """Whether it holds U+0000 or lone surrogates, which JSON lets through and the database does not take."""
    try:
        return b"\x00" in text.encode()
    except UnicodeEncodeError:
        return True


def _mistake(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {message}", field=field)

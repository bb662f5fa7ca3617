"""The fields of an index's records: their types, what each may be asked for, and by which operators."""

from collections.abc import Iterable, Sequence
from typing import Any

from app.base.errors import InvalidRequest
from app.domain.search.filters import Condition, Filter, conditions_of
from app.domain.understanding.analyzers import OCR, SPOKEN_WORDS, VLM

Json = dict[str, Any]
Schema = dict[str, Json]  # {field: {"type", "groups", "operators"}}

GIVEN = "scenes"  # the analyzer type of records that a client has brought along
CAPABILITIES = ("semantic", "query", "aggregate")
GROUPS = ("semantic", "filter", "aggregate", "sort")
_OTHER_GROUPS = ("fts", "hydrate", "return")  # the vendor's server knows them too: they have no effect here
_ALSO_SPELT = {"search": "semantic"}
MOST_FIELDS = 200
MAX_DEPTH = 6
PROSE_WORDS = 5

OPERATORS = {
    "string": ["==", "!=", "contains", "in", "exists"],
    "text": ["contains", "exists"],
    "number": ["==", "!=", ">", ">=", "<", "<=", "in", "exists"],
    "boolean": ["==", "!=", "exists"],
    "string_array": ["==", "!=", "contains", "in", "exists"],
    "number_array": ["==", "!=", ">", ">=", "<", "<=", "in", "exists"],
}
_USUAL_GROUPS = {
    "string": ["filter", "aggregate"],
    "text": ["semantic", "filter"],
    "number": ["filter", "aggregate", "sort"],
    "boolean": ["filter", "aggregate"],
    "string_array": ["filter", "aggregate"],
    "number_array": ["filter", "aggregate"],
}
# What the analyzers of this server find; documents.py makes the values.
_FOUND: dict[str, dict[str, str]] = {
    VLM: {
        "scene_description": "text",
        "title": "string",
        "headings": "string_array",
        "appeared": "string_array",
        "changed": "boolean",
        "screen_text": "text",
    },
    OCR: {"combined_text": "text", "title": "string", "headings": "string_array", "changed": "boolean"},
    SPOKEN_WORDS: {
        "text": "text",
        "summary": "text",
        "decisions": "string_array",
        "actions": "string_array",
        "topics": "string_array",
    },
}
# Of every record, whatever it holds.
_OF_EVERY_RECORD = {name: ("number", ["filter", "sort"]) for name in ("start", "end")}


def schema_of(analyzer_type: str) -> Schema:
    """The fields of what an analyzer finds."""
    found = {name: (type_, _USUAL_GROUPS[type_]) for name, type_ in _FOUND[analyzer_type].items()}
    return _schema(found | _OF_EVERY_RECORD)


def derived_schema(records: Iterable[Json]) -> Schema:
    """The fields of records that a client has brought along.

    Fields within others are known by dotted paths, and have no groups until they are given some. Raises
    `InvalidRequest` where there are more than `MOST_FIELDS`.
    """
    types: dict[str, str] = {}
    for record in records:
        for path, value in _leaves(record, "", 0):
            type_ = _type_of(value)
            if type_ is not None:
                types[path] = _wider(types.get(path), type_)
        if len(types) > MOST_FIELDS:
            raise InvalidRequest(f"records may have {MOST_FIELDS} fields", field="source.scenes")
    found = {path: (type_, [] if "." in path else _USUAL_GROUPS[type_]) for path, type_ in types.items()}
    return _schema(found | _OF_EVERY_RECORD)


def _schema(fields: dict[str, tuple[str, list[str]]]) -> Schema:
    return {
        name: {"type": type_, "groups": list(groups), "operators": list(OPERATORS[type_])}
        for name, (type_, groups) in fields.items()
    }


def _leaves(value: Any, path: str, depth: int) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and depth < MAX_DEPTH:
        for name, inner in value.items():
            if "." in name or not name:
                continue  # no path leads to it
            yield from _leaves(inner, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for one in value:
            if isinstance(one, dict):
                yield from _leaves(one, path, depth)
    else:
        yield path, value


def _type_of(value: Any) -> str | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text" if len(value.split()) >= PROSE_WORDS else "string"
    if isinstance(value, list) and value:
        kinds = {_type_of(one) for one in value}
        if kinds == {"number"}:
            return "number_array"
        if kinds <= {"string", "text"}:
            return "string_array"
    return None


def _wider(before: str | None, type_: str) -> str:
    """One type for a field whose values are of two: the first, but prose makes a field of texts prose."""
    if before is None or {before, type_} == {"string", "text"}:
        return type_ if before is None else "text"
    return before


def with_groups(schema: Schema, fields: object) -> Schema:
    """The schema with the groups that a request gives; a group that it does not name stays as it is.

    Raises `InvalidRequest` for an unknown group or field.
    """
    if fields is None:
        return schema
    if not isinstance(fields, dict):
        raise InvalidRequest("fields must be an object of {group: [field, …]}", field="fields")
    given: dict[str, list[str]] = {}
    for group, names in fields.items():
        if group not in (*GROUPS, *_OTHER_GROUPS):
            raise InvalidRequest(
                f"fields: a group is one of {', '.join(GROUPS)}", field=f"fields.{group}"[:100]
            )
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidRequest(f"fields.{group} must be a list of names", field=f"fields.{group}")
        unknown = [name for name in names if name not in schema]
        if unknown:
            raise unknown_field(f"fields.{group}", unknown[0], schema)
        given[group] = names
    return {
        name: shape
        | {
            "groups": [
                group
                for group in GROUPS
                if (name in given[group] if group in given else group in shape["groups"])
            ]
        }
        for name, shape in schema.items()
    }


def read_use_for(use_for: object, schema: Schema) -> list[str]:
    """What an index is good for: what is asked for, or all that its fields allow.

    Raises `InvalidRequest` for what is unknown, and for `semantic` where no field has text.
    """
    has_text = any("semantic" in shape["groups"] for shape in schema.values())
    if use_for is None:
        return [one for one in CAPABILITIES if has_text or one != "semantic"]
    asked = use_for if isinstance(use_for, list) else [use_for]
    found = [_ALSO_SPELT.get(one, one) for one in asked if isinstance(one, str)]
    if not found or len(found) != len(asked) or not set(found) <= set(CAPABILITIES):
        raise InvalidRequest(f"use_for must be among {', '.join(CAPABILITIES)}", field="use_for")
    if "semantic" in found and not has_text:
        raise InvalidRequest("use_for: no field of these records has text to search", field="use_for")
    return [one for one in CAPABILITIES if one in found]


def fields_of(schema: Schema) -> dict[str, list[str]]:
    """The fields in each group, as an index shows them."""
    return {group: [name for name, shape in schema.items() if group in shape["groups"]] for group in GROUPS}


def merged(schemas: Sequence[Schema]) -> Schema:
    """One schema for indexes of one name: a field may be asked for what any of them allows."""
    found: Schema = {}
    for schema in schemas:
        for name, shape in schema.items():
            known = found.setdefault(name, {"type": shape["type"], "groups": [], "operators": []})
            for part in ("groups", "operators"):
                known[part] = list(dict.fromkeys([*known[part], *shape[part]]))
    return found


def check_filter(filter_: Filter | None, schema: Schema) -> None:
    """Raises `InvalidRequest` that names the field which a filter may not ask, or not in this way."""
    for condition in conditions_of(filter_) if filter_ is not None else ():
        shape = require_field("filter", condition.field, "filter", schema)
        if condition.operator not in shape["operators"]:
            allowed = ", ".join(shape["operators"])
            raise InvalidRequest(
                f"filter: {condition.field} is a {shape['type']}: {allowed}", field=condition.field
            )
        _check_values(condition, shape["type"])


def _check_values(condition: Condition, type_: str) -> None:
    if condition.operator in ("exists", "contains"):
        return
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    wanted = "boolean" if type_ == "boolean" else "number" if type_.startswith("number") else "string"
    for value in values:
        kind = _type_of(value)
        if value is not None and ("string" if kind == "text" else kind) != wanted:
            raise InvalidRequest(
                f"filter: {condition.field} is compared with a {wanted}", field=condition.field
            )


def require_field(part: str, name: str, group: str, schema: Schema) -> Json:
    """The shape of a field that may be asked for this. Raises `InvalidRequest` that names it."""
    shape = schema.get(name)
    if shape is None:
        raise unknown_field(part, name, schema)
    if group not in shape["groups"]:
        raise InvalidRequest(f"{part}: {name} is in no group {group} of this index", field=name)
    return shape


def unknown_field(part: str, name: str, schema: Schema) -> InvalidRequest:
    """The refusal of a field that an index does not have."""
    return InvalidRequest(
        f"{part}: there is no field {name[:100]}, but {', '.join(schema)}", field=name[:100]
    )

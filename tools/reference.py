"""Write the tables of docs/reference: fields of a spec, members of JSON documents.

    python tools/reference.py

Both come from the schemas; which kind of pool has a field comes from reconciler/canonical/sections.py. A generated part
stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from reconciler.canonical.sections import FIELDS

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = ROOT / "docs" / "reference"
NOT_YET: Final = "Not supported yet."
_DEFS: Final = "#/$defs/"
_UNITS: Final = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}

Schema = dict[str, Any]


def generated() -> dict[Path, dict[str, str]]:
    """Return, by page and name, each generated part."""
    return {
        PAGES / "spec.md": {"fields": spec_fields(_read("spec"))},
        PAGES / "json-documents.md": {"documents": "\n\n".join(json_documents())},
    }


def written(text: str, parts: dict[str, str]) -> str:
    """Return the page with these parts in their places.

    Raises ValueError for a place that is not there once.
    """
    for name, part in parts.items():
        begin, end = f"<!-- begin: {name} -->\n", f"\n<!-- end: {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{begin!r} and {end!r} must be there once")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.partition(end)[2]}"
    return text


def spec_fields(schema: Schema) -> str:
    """Return the tables of all fields of a spec, level by level."""
    defs = schema["$defs"]
    only = {field.name: field.only.value for field in FIELDS if field.only}
    pool = defs["pool"]["properties"] | {name: defs[name] for name in ("launch", "ports", "checks")}
    both = {name: one for name, one in pool.items() if name not in only}
    parts = [
        "### The file",
        _table(schema, schema["properties"], schema),
        "### An app",
        "An app, and `defaults`, also have every field of a pool.",
        _table(schema, defs["app"]["properties"], defs["app"]),
        "### A pool: a task or a service",
        _table(schema, both, defs["pool"]),
    ]
    for kind in ("task", "service"):
        parts += [f"### Only a {kind}", _table(schema, {n: one for n, one in pool.items() if only.get(n) == kind}, {})]
    for name, one in pool.items():
        for title, inner in _maps_within(schema, name, one):
            parts += [f"### `{title}`", _table(schema, inner["properties"], inner)]
    return "\n\n".join(parts)


def json_documents() -> Iterator[str]:
    """Yield the title and the table of each document but the spec's."""
    for path in sorted((ROOT / "schemas").glob("*.schema.json")):
        name = path.name.removesuffix(".schema.json")
        if name not in {"spec", "overlay"}:
            schema = _read(name)
            rows = [f"| `{member}` | {kind} | {text} |" for member, kind, text in _members(schema, schema, "", ())]
            yield f"### {name}\n\n{schema['title']}.\n\n| member | value | what it is |\n|---|---|---|\n" + "\n".join(
                rows
            )


def _read(name: str) -> Schema:
    found: Schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    return found


def _table(root: Schema, members: Schema, parent: Schema) -> str:
    rows = [_row(root, name, member, name in parent.get("required", ())) for name, member in members.items()]
    return "\n".join(["| field | value | default | what it is |", "|---|---|---|---|", *rows])


def _row(root: Schema, name: str, member: Schema, is_required: bool) -> str:
    whole = _resolved(root, member) | member
    text = whole.get("description", "")
    if whole.get("examples") and NOT_YET not in text:
        shown = " or ".join(f"`{_flow(one)}`" for one in whole["examples"][:2])
        text = f"{text} Example: {shown}"
    default = f"`{_flow(whole['default'])}`" if "default" in whole else "required" if is_required else ""
    return f"| `{name}` | {_cell(_value(root, whole))} | {_cell(default)} | {_cell(text)} |"


def _resolved(root: Schema, schema: Schema) -> Schema:
    reference = schema.get("$ref", "")
    found: Schema = root["$defs"][reference.removeprefix(_DEFS)] if reference else schema
    return found


def _value(root: Schema, schema: Schema) -> str:
    """Return in words what a member's value may be."""
    schema = _resolved(root, schema) | {key: one for key, one in schema.items() if key != "$ref"}
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "const" in schema:
        return f"`{_flow(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{_flow(one)}`" for one in schema["enum"])
    if "anyOf" in schema or "oneOf" in schema:
        kinds = [_value(root, one) for one in schema.get("anyOf") or schema["oneOf"]]
        return ", or ".join(dict.fromkeys(kinds))
    kinds = schema.get("type", "object" if "properties" in schema else "")
    return ", or ".join(_kind(root, schema, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _kind(root: Schema, schema: Schema, kind: str) -> str:
    if kind == "array":
        items = schema.get("items", {})
        inner = _value(root, items) if not _is_map(_resolved(root, items)) else "maps"
        return f"a list, each {inner}" if inner.startswith(("a ", "an ")) else f"a list of {inner}"
    if kind == "integer" and {"minimum", "maximum"} <= schema.keys():
        return f"{_UNITS[kind]} from {schema['minimum']} to {schema['maximum']}"
    if kind == "null":
        return "`null`"
    return _UNITS.get(kind, "a map" if kind == "object" else "anything")


def _is_map(schema: Schema) -> bool:
    return "properties" in schema or schema.get("type") == "object"


def _maps_within(root: Schema, path: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield each map of known members at or below a field, by its path.

    Such as `ports[].concurrency` or `checks.NAME`.
    """
    schema = _resolved(root, schema)
    for one in (schema, *schema.get("anyOf", ())):
        if "items" in one:
            yield from _maps_within(root, f"{path}[]", one["items"])
        if isinstance(one.get("additionalProperties"), dict):
            yield from _maps_within(root, f"{path}.NAME", one["additionalProperties"])
        if "properties" in one and NOT_YET not in root["$defs"]["pool"]["properties"].get(path.rstrip("[]"), {}).get(
            "description", ""
        ):
            yield path, one
            for name, member in one["properties"].items():
                yield from _maps_within(root, f"{path}.{name}", member)


def _members(root: Schema, schema: Schema, path: str, seen: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Yield path, value and description of each member of a document, in depth.

    A definition is not entered twice.
    """
    if (reference := schema.get("$ref", "")) in seen and reference:
        return
    seen = (*seen, reference) if reference else seen
    schema = _resolved(root, schema)
    for one in (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        for name, member in one.get("properties", {}).items():
            whole = _resolved(root, member) | member
            at = f"{path}.{name}" if path else name
            yield at, _cell(_value(root, member)), _cell(whole.get("description", ""))
            yield from _members(root, member, at, seen)
        if isinstance(one.get("items"), dict):
            yield from _members(root, one["items"], f"{path}[]", seen)
        if isinstance(one.get("additionalProperties"), dict):
            yield from _members(root, one["additionalProperties"], f"{path}.NAME", seen)


def _flow(value: Any) -> str:
    """Return a value as YAML on one line, as short as it reads well."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    if isinstance(value, str):
        is_plain = re.fullmatch(r"[\w./][\w ./${}:-]*(?<!:)", value) and ": " not in value
        is_other = re.fullmatch(r"true|false|null|[\d.]+", value) and value.count(".") < 2
        return value if is_plain and not is_other else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write the parts into their pages."""
    for page, parts in generated().items():
        page.write_text(written(page.read_text("utf-8"), parts), "utf-8")


if __name__ == "__main__":
    main()

"""One kind of value of the store: a table of JSON by id, and the values themselves in memory."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, Generic, TypeVar

V = TypeVar("V", bound=Any)


class Table(Generic[V]):
    """Values of one dataclass by id. A change is written before anything sees it. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, table: str, make: Callable[..., V]) -> None:
        self._connection = connection
        self._table = table
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (id TEXT PRIMARY KEY, value TEXT NOT NULL)")
        rows = connection.execute(f"SELECT id, value FROM {table} ORDER BY rowid").fetchall()
        self._values: dict[str, V] = {key: make(**value_of(value)) for key, value in rows}

    def get(self, key: str) -> V | None:
        return self._values.get(key)

    def __iter__(self) -> Iterator[V]:
        return iter(list(self._values.values()))

    def put(self, key: str, value: V) -> V:
        """The value, written under this id."""
        text = json_of(value)
        statement = f"INSERT INTO {self._table} VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
        self._connection.execute(statement, (key, text))
        self._values[key] = value
        return value

    def remove(self, key: str) -> None:
        self._connection.execute(f"DELETE FROM {self._table} WHERE id = ?", (key,))
        self._values.pop(key, None)


def json_of(value: Any) -> str:
    """The JSON of plain values and of dataclasses, whose fields are read where they stand: `asdict` would copy them."""
    return json.dumps(value, separators=(",", ":"), default=_members)


def value_of(text: str) -> Any:
    """The value of what `json_of` wrote, fit to be written as JSON in UTF-8.

    Earlier versions kept lone surrogates and NaN, which then broke every answer: these become `?` and null.
    """
    value = json.loads(text, parse_constant=lambda _: None)
    if "\\ud" not in text:
        return value
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _members(value: Any) -> dict[str, Any]:
    return {member.name: getattr(value, member.name) for member in fields(value)}

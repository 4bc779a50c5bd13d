"""Hold many machines in little memory: what is equal in several is held once.

The machines stay as they are. Only the objects that they consist of change.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from reconciler.model import marks
from reconciler.model.config import JsonObject, MachineConfig
from reconciler.model.machine import Machine

_METADATA: Final = "metadata"
_MOST_TEXTS: Final = 10_000  # more of them are hardly equal, and to remember each takes more than it saves


class _Metadata:
    """Metadata that several machines share; each has values of its own for `keys`.

    A machine's metadata is read several times in a row, so what was made last is kept until another one is read.
    """

    __slots__ = ("_keys", "_made", "_shared")

    def __init__(self, shared: dict[str, str], keys: tuple[str, ...]) -> None:
        self._shared = shared
        self._keys = keys
        self._made: tuple[tuple[str, ...] | None, dict[str, str]] = None, {}

    def of(self, values: tuple[str, ...]) -> dict[str, str]:
        """Return the metadata of the machine whose own values these are."""
        of_values, made = self._made
        if of_values is not values:
            made = self._shared.copy()
            for key, value in zip(self._keys, values, strict=True):
                made[key] = value
            self._made = values, made
        return made


class SharedDocument(Mapping[str, Any]):
    """A config document that shares all but some values of its metadata with others."""

    __slots__ = ("_bare", "_metadata", "_values")

    def __init__(self, bare: JsonObject, metadata: _Metadata, values: tuple[str, ...]) -> None:
        self._bare = bare
        self._metadata = metadata
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._metadata.of(self._values) if name == _METADATA else self._bare[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the member; Mapping's own way takes several times as long."""
        return self._metadata.of(self._values) if name == _METADATA else self._bare.get(name, default)

    def __iter__(self) -> Iterator[str]:
        yield from self._bare
        yield _METADATA

    def __len__(self) -> int:
        return len(self._bare) + 1


class Compactor:
    """Replaces what equals something in an earlier machine by that."""

    def __init__(self) -> None:
        self._documents: dict[bytes, JsonObject] = {}  # by digest, as the text of each would take as much again
        self._sections: dict[bytes, Any] = {}
        self._metadata: dict[bytes, _Metadata] = {}
        self._texts: dict[str, str] = {}

    def compact(self, machine: Machine) -> Machine:
        """Return an equal machine that shares what it has in common with earlier ones."""
        events = tuple(
            replace(
                event, type=self._text(event.type), status=self._text(event.status), source=self._text(event.source)
            )
            for event in machine.events
        )
        return replace(
            machine,
            config=machine.config and self._config(machine.config, machine.name),
            events=events,
            image_digest=machine.image_digest and self._text(machine.image_digest),
            region=self._text(machine.region),
        )

    def _config(self, config: MachineConfig, name: str) -> MachineConfig:
        metadata = config.document.get(_METADATA)
        bare = self._document({key: value for key, value in config.document.items() if key != _METADATA})
        if not isinstance(metadata, dict):
            return MachineConfig(document=bare)
        own = {key: "" for key, value in metadata.items() if value == name or marks.is_record(key)}
        values = tuple(name if metadata[key] == name else metadata[key] for key in own)
        shared = metadata | own
        digest = _digest([shared, *own])
        if digest not in self._metadata:
            self._metadata[digest] = _Metadata(shared, tuple(own))
        return MachineConfig(document=SharedDocument(bare, self._metadata[digest], values))

    def _document(self, bare: dict[str, Any]) -> JsonObject:
        digest = _digest(bare)
        if digest not in self._documents:
            self._documents[digest] = {name: self._section(name, value) for name, value in bare.items()}
        return self._documents[digest]

    def _section(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        return self._sections.setdefault(_digest([name, value]), value)

    def _text(self, text: str) -> str:
        if len(self._texts) < _MOST_TEXTS:
            return self._texts.setdefault(text, text)
        return self._texts.get(text, text)


def _digest(value: Any) -> bytes:
    return blake2b(msgspec.json.encode(value), digest_size=16).digest()

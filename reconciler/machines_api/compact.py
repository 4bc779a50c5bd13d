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


class SharedDocument(Mapping[str, Any]):
    """A config document that shares all but its metadata with others."""

    __slots__ = ("_bare", "_metadata")

    def __init__(self, bare: JsonObject, metadata: JsonObject) -> None:
        self._bare = bare
        self._metadata = metadata

    def __getitem__(self, name: str) -> Any:
        return self._metadata if name == _METADATA else self._bare[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the member; Mapping's own way takes several times as long."""
        return self._metadata if name == _METADATA else self._bare.get(name, default)

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
        self._texts: dict[str, str] = {}
        self._last: tuple[dict[str, Any], JsonObject] = {}, {}

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
        bare = self._shared({key: value for key, value in config.document.items() if key != _METADATA})
        if not isinstance(metadata, dict):
            return MachineConfig(document=bare)
        texts = {self._text(key): self._value(key, value, name) for key, value in metadata.items()}
        return MachineConfig(document=SharedDocument(bare, texts))

    def _value(self, key: str, value: str, name: str) -> str:
        """Return the value of a mark, shared unless it is a record of the machine's own."""
        if value == name:
            return name
        return value if marks.is_record(key) else self._text(value)

    def _shared(self, bare: dict[str, Any]) -> JsonObject:
        """Return the document before this one, if it has the very same members."""
        before, document = self._last
        if len(bare) != len(before) or not all(before.get(name) is value for name, value in bare.items()):
            document = self._document(bare)
            self._last = bare, document
        return document

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

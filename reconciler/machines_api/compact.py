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
    """A config document that shares all but some values of its metadata with others.

    Each look at its metadata makes a dict.
    """

    __slots__ = ("_bare", "_keys", "_shared", "_values")

    def __init__(
        self, bare: JsonObject, shared: dict[str, str], keys: tuple[str, ...], values: tuple[str, ...]
    ) -> None:
        """`shared` is the metadata; of it, `keys` have these values instead."""
        self._bare = bare
        self._shared = shared
        self._keys = keys
        self._values = values

    def __getitem__(self, name: str) -> Any:
        if name != _METADATA:
            return self._bare[name]
        metadata = self._shared.copy()
        metadata.update(zip(self._keys, self._values, strict=True))
        return metadata

    def get(self, name: str, default: Any = None) -> Any:
        """Return the member; Mapping's own way takes several times as long."""
        return self[_METADATA] if name == _METADATA else self._bare.get(name, default)

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
        self._metadata: dict[bytes, tuple[dict[str, str], tuple[str, ...]]] = {}
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
        shared, keys = self._metadata.setdefault(_digest([shared, *own]), (shared, tuple(own)))
        return MachineConfig(document=SharedDocument(bare, shared, keys, values))

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

"""Hold many machines in little memory: what is equal in several is held once.

The machines stay as they are. Only the objects that they consist of change.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from reconciler.model import marks
from reconciler.model.config import METADATA, JsonObject, MachineConfig, SharedDocument
from reconciler.model.machine import Event, Machine

_MOST_TEXTS: Final = 10_000  # more of them are hardly equal, and to remember each takes more than it saves


class Compactor:
    """Replaces what equals something in an earlier machine by that."""

    def __init__(self) -> None:
        self._documents: dict[bytes, JsonObject] = {}  # by digest, as the text of each would take as much again
        self._sections: dict[bytes, Any] = {}
        self._texts: dict[str, str] = {}
        self._last: tuple[JsonObject, JsonObject] = {}, {}

    def compact(self, machine: Machine) -> Machine:
        """Return an equal machine that shares what it has in common with earlier ones."""
        return replace(
            machine,
            config=machine.config and self._config(machine.config, machine.name),
            events=tuple(map(self._event, machine.events)),
            image_digest=machine.image_digest and self._text(machine.image_digest),
            region=self._text(machine.region),
        )

    def _event(self, event: Event) -> Event:
        texts = {name: self._text(getattr(event, name)) for name in ("type", "status", "source")}
        return replace(event, **texts)

    def _config(self, config: MachineConfig, name: str) -> MachineConfig:
        if not isinstance(config.document.get(METADATA), Mapping):
            return MachineConfig(document=self._shared(config.document))
        return MachineConfig(document=SharedDocument(self._shared(config.bare), self._metadata(config.metadata, name)))

    def _metadata(self, metadata: Mapping[str, str], name: str) -> Mapping[str, str]:
        """Return the metadata with shared texts.

        The name and the records are the machine's own.
        """
        known, shared = self._texts, {}
        for key, text in metadata.items():
            if text == name:
                text = name
            elif text in known:
                text = known[text]
            elif not marks.is_record(key):
                text = self._text(text)
            shared[known.get(key) or self._text(key)] = text
        return shared

    def _shared(self, document: JsonObject) -> JsonObject:
        """Return the first document that was equal to this one."""
        before, shared = self._last
        if document is not before:
            shared = self._document(document)
            self._last = document, shared
        return shared

    def _document(self, document: JsonObject) -> JsonObject:
        digest = _digest(document)
        if digest not in self._documents:
            self._documents[digest] = {name: self._section(name, value) for name, value in document.items()}
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

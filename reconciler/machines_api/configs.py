"""Understand the configs of machines; those that differ in metadata alone, once.

What is understood of a config is a config with `env` and `metadata` as maps of strings, and the names of its sections
that have a wrong type.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from reconciler.canonical.sections import SECTIONS
from reconciler.machines_api.values import is_deep
from reconciler.model.config import METADATA, JsonObject, SharedDocument

Understood: TypeAlias = tuple[JsonObject, tuple[str, ...]]
# The sections of a config that are relied on, and their types; each may be null.
_SECTIONS: Final[Mapping[str, type]] = {one.name: one.kind for one in SECTIONS if one.is_as_sent or one.form}
_MAPS_OF_TEXTS: Final = ("env", METADATA)


class Configs:
    """Understands the configs of one reply.

    Those without anything of a wrong type that are equal but for their metadata share all else.
    """

    def __init__(self) -> None:
        self._bare: dict[bytes, JsonObject] = {}  # what is understood, by the JSON of a config with empty metadata

    def understood(self, config: dict[str, Any]) -> Understood:
        """Return what is understood of the config, and what is not."""
        metadata = config.get(METADATA)
        if not isinstance(metadata, dict) or not all(type(text) is str for text in metadata.values()):
            return understood(config)
        bare = {**config, METADATA: {}}
        try:
            key = msgspec.json.encode(bare)
        except (RecursionError, ValueError):  # nested deeper than it goes, or a single surrogate
            return understood(config)
        cleaned = self._bare.get(key)
        if cleaned is None:
            cleaned, not_understood = understood(bare)
            if not_understood:
                return understood(config)
            self._bare[key] = cleaned
        return SharedDocument(cleaned, metadata), ()


def understood(config: dict[str, Any]) -> Understood:
    """Return what is understood of one config, and what is not."""
    is_too_deep = is_deep(config)
    return _cleaned(config, is_too_deep=is_too_deep), tuple(_not_understood(config, is_too_deep=is_too_deep))


def _cleaned(config: dict[str, Any], *, is_too_deep: bool) -> dict[str, Any]:
    """Return the config with `env` and `metadata` as maps of strings, without nulls.

    Of a config that is nested too deeply only the metadata is kept.
    """
    cleaned = {key: config[key] for key in (METADATA,) if key in config} if is_too_deep else dict(config)
    for key in _MAPS_OF_TEXTS:
        value = cleaned.get(key)
        if key in cleaned:
            mapping = value if isinstance(value, dict) else {}
            cleaned[key] = {name: str(text) for name, text in mapping.items() if _is_plain(text)}
    return cleaned


def _not_understood(config: dict[str, Any], *, is_too_deep: bool) -> Iterator[str]:
    """Yield the names of the sections that we rely on and that have a wrong type."""
    if is_too_deep:
        yield "config"
    for name, kind in _SECTIONS.items():
        value = config.get(name)
        if value is not None and not (isinstance(value, kind) and _holds_its_kind(name, value)):
            yield f"config.{name}"


def _holds_its_kind(section: str, value: Any) -> bool:
    """Return whether the members of a section have the right type.

    Lists hold objects; `env` and `metadata` hold strings, numbers or null.
    """
    if isinstance(value, list):
        return all(isinstance(member, dict) for member in value)
    if not isinstance(value, dict) or section not in _MAPS_OF_TEXTS:
        return True
    return all(member is None or _is_plain(member) for member in value.values())


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)

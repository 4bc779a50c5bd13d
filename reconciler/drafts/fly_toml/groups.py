"""Find the process groups of a fly.toml, and what of it is for each."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from reconciler.drafts.fly_toml.patches import strings_of

APP: Final = "app"  # the group of a fly.toml without [processes]


class Groups:
    """The process groups, in the order of the file. `default` gets what names none."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.names: tuple[str, ...] = tuple(document["processes"]) or (APP,)
        self.default: str = APP if APP in self.names else min(self.names)

    def of(self, section: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """Return the groups that a section is for, which names them in `processes`."""
        named = strings_of(section.get("processes"), f"{where}.processes")
        wanted = {name or self.default for name in named} or {self.default}
        return tuple(name for name in self.names if name in wanted)

    def sections(self, key: str, group: str) -> list[Mapping[str, Any]]:
        """Return the tables of a list, such as [[mounts]], that are for the group."""
        return [one for one in self._document[key] if group in self.of(one, key)]

    def http_service(self, group: str) -> Mapping[str, Any] | None:
        """Return [http_service], if it is for the group."""
        found: Mapping[str, Any] | None = self._document["http_service"]
        return found if found is not None and group in self.of(found, "http_service") else None

    def checks(self, group: str) -> dict[str, Mapping[str, Any]]:
        """Return the checks at the top level that are for the group."""
        return {name: one for name, one in self._document["checks"].items() if group in self.of(one, f"checks.{name}")}

    def vm(self, group: str) -> Mapping[str, Any] | None:
        """Return the size for the group: one that names it, else one that names none."""
        sizes: Sequence[Mapping[str, Any]] = self._document["vm"]
        own = [one for one in sizes if group in strings_of(one.get("processes"), "vm.processes")]
        general = [one for one in sizes if not strings_of(one.get("processes"), "vm.processes")]
        return own[-1] if own else next(iter(general), None)

"""A machine's config, and the few questions that our logic asks of it.

The config stays a JSON document in the API's own spelling: the platform has far more settings than we have opinions,
and a typed copy would lose what it does not know. See docs/decisions/0001-config-stays-a-document.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from reconciler.hidden import HidesFields

JsonObject: TypeAlias = Mapping[str, Any]
METADATA: Final = "metadata"


class SharedDocument(Mapping[str, Any]):
    """A config document that shares all but its metadata with others.

    `bare` is the document with empty metadata: the others' too.
    """

    __slots__ = ("bare", "metadata")

    def __init__(self, bare: JsonObject, metadata: Mapping[str, str]) -> None:
        self.bare = bare
        self.metadata = metadata

    def __getitem__(self, name: str) -> Any:
        return self.metadata if name == METADATA else self.bare[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the member; Mapping's own way takes several times as long."""
        return self.metadata if name == METADATA else self.bare.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self.bare)

    def __len__(self) -> int:
        return len(self.bare)


class MachineConfig(HidesFields, frozen=True, kw_only=True):
    """One machine config as the Machines API spells it.

    It is never changed in place. Its repr hides every value.
    """

    document: JsonObject

    def __repr__(self) -> str:
        return f"MachineConfig(keys={sorted(self.document)})"

    @property
    def bare(self) -> JsonObject:
        """Return the document with empty metadata, as one object where configs share it."""
        if isinstance(self.document, SharedDocument):
            return self.document.bare
        return {**self.document, METADATA: {}}

    @property
    def image(self) -> str | None:
        """Return the image reference, as written."""
        return self.document.get("image")

    @property
    def env(self) -> Mapping[str, str]:
        return self.document.get("env") or {}

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.document.get(METADATA) or {}

    @property
    def schedule(self) -> str | None:
        return self.document.get("schedule") or None

    @property
    def restart_policy(self) -> str | None:
        """Return when the platform restarts the command; None is its default.

        The default is after each failure.
        """
        restart = self.document.get("restart")
        policy = restart.get("policy") if isinstance(restart, dict) else None
        return policy if isinstance(policy, str) else None

    @property
    def services(self) -> Sequence[JsonObject]:
        return self.document.get("services") or ()

    @property
    def checks(self) -> JsonObject:
        return self.document.get("checks") or {}

    @property
    def has_checks(self) -> bool:
        """Return whether any health check is declared, on its own or in a service."""
        return bool(self.checks) or any(service.get("checks") for service in self.services)

    @property
    def may_rest(self) -> bool:
        """Return whether the proxy may stop or suspend the idle machine (`autostop`)."""
        return any(service.get("autostop") not in (None, False, "off") for service in self.services)

    @property
    def volumes(self) -> frozenset[str]:
        """Return the ids of the volumes that it mounts."""
        mounts = self.document.get("mounts")
        ids = (one.get("volume") for one in mounts if isinstance(one, Mapping)) if isinstance(mounts, list) else ()
        return frozenset(one for one in ids if one and isinstance(one, str))

    @property
    def stop_config(self) -> JsonObject:
        return self.document.get("stop_config") or {}

    def with_metadata(self, metadata: Mapping[str, str]) -> "MachineConfig":
        """Return the same config with exactly this metadata."""
        if isinstance(self.document, SharedDocument):
            return MachineConfig(document=SharedDocument(self.document.bare, dict(metadata)))
        return replace(self, document={**self.document, METADATA: dict(metadata)})

"""A machine's config, and the few questions that our logic asks of it.

The config stays a JSON document in the API's own spelling: the platform has far more settings than we have opinions,
and a typed copy would lose what it does not know. See docs/decisions/0001-config-stays-a-document.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from reconciler.hidden import HidesFields

JsonObject: TypeAlias = Mapping[str, Any]


class MachineConfig(HidesFields, frozen=True, kw_only=True):
    """One machine config as the Machines API spells it.

    It is never changed in place. Its repr hides every value.
    """

    document: JsonObject

    def __repr__(self) -> str:
        return f"MachineConfig(keys={sorted(self.document)})"

    @property
    def image(self) -> str | None:
        """Return the image reference, as written."""
        return self.document.get("image")

    @property
    def env(self) -> Mapping[str, str]:
        return self.document.get("env") or {}

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.document.get("metadata") or {}

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
        return replace(self, document={**self.document, "metadata": dict(metadata)})

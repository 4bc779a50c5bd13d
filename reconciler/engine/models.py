"""The engine's records, as immutable values: apps, machines, volumes and so on.

Times are milliseconds (`_ms`) or nanoseconds (`_ns`) since 1970.
"""

import secrets
from typing import Any, Final

from msgspec import Struct

from reconciler.hidden import HidesFields

_ULID_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

RESTING: Final = frozenset({"created", "stopped", "suspended", "failed"})
RUNNING: Final = frozenset({"starting", "started", "stopping", "restarting"})
TRANSIENT: Final = frozenset({"creating", "starting", "stopping", "restarting", "suspending", "replacing", "updating"})


class Lease(HidesFields, frozen=True, kw_only=True):
    """A lease on a machine.

    `expires_at` is in seconds since 1970, `version` the machine's when it was taken.
    """

    _hidden = frozenset({"nonce"})

    nonce: str
    expires_at: float
    owner: str
    description: str
    version: str


class Event(Struct, frozen=True, kw_only=True):
    """One event of a machine. `request` is its payload as the API spells it, or None."""

    id: str
    type: str
    status: str
    source: str
    timestamp_ms: int
    request: dict[str, Any] | None = None


class Machine(HidesFields, frozen=True, kw_only=True):
    """One machine.

    `config` is as it was sent; `events` are newest first; `runs` counts its starts. `is_armed`: its schedule is in
    force. `is_prepared`: its image is ready. `should_run`: it was started and not stopped. `pids`: the leaders of its
    process groups with their start times in kernel ticks, to find them after a crash.
    """

    _hidden = frozenset({"config"})

    id: str
    app: str
    name: str
    region: str
    state: str
    instance_id: str
    config: dict[str, Any]
    created_ms: int
    updated_ms: int
    is_prepared: bool = False
    should_run: bool = False
    is_cordoned: bool = False
    skips_secrets: bool = False
    is_armed: bool = False
    memory_limit_mb: int | None = None
    runs: int = 0
    pids: tuple[tuple[int, int], ...] = ()
    lease: Lease | None = None
    events: tuple[Event, ...] = ()

    @property
    def is_destroyed(self) -> bool:
        return self.state == "destroyed"


class App(Struct, frozen=True, kw_only=True):
    """An app. `idempotency_key` is that of the call that created it, or empty."""

    name: str
    org: str
    created_ms: int
    network: str = ""
    idempotency_key: str = ""


class Volume(Struct, frozen=True, kw_only=True):
    """A volume of an app. The mounts of machines tell which machine has it."""

    id: str
    app: str
    name: str
    region: str
    size_gb: int
    created_ms: int
    updated_ms: int
    fstype: str = "ext4"
    encrypted: bool = True
    snapshot_retention: int = 5
    auto_backup_enabled: bool = True
    state: str = "created"
    required_host_features: tuple[str, ...] = ()


class Snapshot(Struct, frozen=True, kw_only=True):
    """A copy of a volume; sizes in bytes."""

    id: str
    volume_id: str
    size: int
    volume_size: int
    retention_days: int
    created_ms: int


class Secret(HidesFields, frozen=True, kw_only=True):
    """A secret of an app.

    `version` is that of the app's secrets when this one was set.
    """

    _hidden = frozenset({"value"})

    app: str
    name: str
    value: str
    version: int
    created_ms: int
    updated_ms: int


class SecretsVersion(Struct, frozen=True, kw_only=True):
    """The version of an app's secrets: how often they were changed."""

    app: str
    version: int


class AppAddress(Struct, frozen=True, kw_only=True):
    """An IP address that an app holds. `kind` is v4, shared_v4, v6 or private_v6."""

    app: str
    ip: str
    kind: str
    created_ms: int
    region: str = ""
    service_name: str = ""


class Release(HidesFields, frozen=True, kw_only=True):
    """One deployment of an app by Fly's own client, as that client reports it.

    `definition` is the app's configuration that it deployed.
    """

    _hidden = frozenset({"definition"})

    id: str
    app: str
    version: int
    status: str
    strategy: str
    image: str
    created_ms: int
    definition: Any = None


class Address(Struct, frozen=True, kw_only=True):
    """Where a declared port of a service is served; `address` is `host:port`."""

    app: str
    port: int
    address: str


class CheckResult(Struct, frozen=True, kw_only=True):
    """The last result of a health check; `status` is passing, warning or critical."""

    status: str
    output: str
    updated_ms: int = 0


class LogEntry(Struct, frozen=True, kw_only=True):
    """One line of a machine's log.

    `stream` is stdout, stderr, or empty for the engine's own lines.
    """

    app: str
    machine_id: str
    region: str
    timestamp_ns: int
    stream: str
    provider: str
    level: str
    message: str
    sequence: int = 0


def new_ulid(now_ms: int) -> str:
    """Return a ULID with this time."""
    number = now_ms << 80 | secrets.randbits(80)
    return "".join(_ULID_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def ulid_ms(ulid: str) -> int:
    """Return the time of the ULID."""
    return sum(_ULID_ALPHABET.index(letter) << 5 * place for place, letter in enumerate(reversed(ulid[:10])))


def new_machine_id() -> str:
    """Return 14 hexadecimal characters, as Fly's machine ids are."""
    return secrets.token_hex(7)

"""What a spec declares, after interpolation, defaults and parsing.

Also an error in its text, with its place.
"""

import enum
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.hidden import HidesFields
from reconciler.model.config import MachineConfig
from reconciler.model.image import reference
from reconciler.model.ip_address import IpKind
from reconciler.model.run_policy import RunPolicy

_NAME: Final = r"([a-z]{3})-(0|[1-9][0-9]{0,8})"
ENVIRONMENT: Final = "RECONCILER_ENVIRONMENT"  # the variable that holds the name of the environment


class Place(Struct, frozen=True, kw_only=True, order=True):
    """A point in a source file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Diagnostic(Struct, frozen=True, kw_only=True):
    """One error of a spec.

    `source_line` is the offending line as written; `hint` says what to do, if we know.
    """

    place: Place
    message: str
    source_line: str | None = None
    hint: str | None = None


class PoolKind(enum.StrEnum):
    """Tasks rest until they are invoked; services should be running."""

    TASK = "task"
    SERVICE = "service"


class Slot(Struct, frozen=True, kw_only=True, order=True):
    """The place of one machine in a pool. Its name is the machine's name.

    Names are unique in the app. `given` is the name that the spec gives it by `slots`, if it is not POOL-REGION-N. Of a
    slot that is no longer in the spec the number is then unknown, and 0.
    """

    app: str
    pool: str
    region: str
    number: int
    given: str = ""

    @property
    def name(self) -> str:
        return self.given or f"{self.pool}-{self.region}-{self.number}"

    @property
    def address(self) -> str:
        """Return `app/name`, unique in a stack."""
        return f"{self.app}/{self.name}"

    def __str__(self) -> str:
        return self.address


def slot_named(app: str, pool: str, name: str, *, region: str) -> Slot:
    """Return the slot whose machine has this name.

    `region` is the machine's, "" if that is not known. A name is POOL-REGION-N of this region, else it was given.
    """
    found = re.fullmatch(_NAME, name.removeprefix(f"{pool}-")) if name.startswith(f"{pool}-") else None
    if found and region in {"", found[1]}:
        return Slot(app=app, pool=pool, region=found[1], number=int(found[2]))
    return Slot(app=app, pool=pool, region=region, number=0, given=name)


class Build(HidesFields, frozen=True, kw_only=True):
    """How an image is made from a Dockerfile.

    Paths: `context` from the spec's file, `dockerfile` from the context.
    """

    context: str = "."
    dockerfile: str = "Dockerfile"
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Build(context={self.context!r}, args={sorted(self.args)})"


class Rollout(Struct, frozen=True, kw_only=True):
    """How the machines of a changed service are watched.

    Nothing of it is in a config, a digest or a plan's hash. A changed machine must run for `min_healthy_s` without an
    exit or a restart; 0 does not watch it.
    """

    min_healthy_s: float = 10.0


class Pool(Struct, frozen=True, kw_only=True, dict=True):  # with a dict, in which the slots are kept
    """A set of equal machines.

    `config` is the desired config without our marks; `run_policy` is a task's. `rollout` counts for services
    alone.
    """

    app: str
    name: str
    kind: PoolKind
    counts: Mapping[str, int]  # region -> slots
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # region -> names of its first slots
    config: MachineConfig
    run_policy: RunPolicy = field(default_factory=RunPolicy)
    rollout: Rollout = field(default_factory=Rollout)
    launch: bool = False
    is_protected: bool = False  # no plan destroys or replaces its machines
    build: Build | None = None  # what its image is made from
    build_image: str | None = None  # where that is pushed; its config has the tag of the content once that is known
    image_at: Diagnostic | None = None  # where its `image` is written
    image_variables: tuple[str, ...] = ()  # names of the variables that its `image` holds
    has_resolved_image: bool = False  # its image's digest or content is not written in the spec: it was looked up
    place: Place | None = None
    name_places: Mapping[str, Place] = field(default_factory=dict)  # of `names`, by name

    def __eq__(self, other: object) -> bool:
        """Compare all but where the image and the names are written."""
        if not isinstance(other, Pool):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    @property
    def resolved_digest(self) -> str | None:
        """Return what the tag of its image was resolved to; None if it was not.

        Of an image that the spec builds it is the tag of its content, with the digest once it is built.
        """
        image = reference(self.config.image) if self.has_resolved_image else None
        return image.resolution if image else None

    @property
    def has_public_ports(self) -> bool:
        """Return whether the platform's proxy passes calls of the public on to it."""
        services = self.config.document.get("services")
        return any(isinstance(one, dict) and one.get("ports") for one in services or ())

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(slot for region, count in self.counts.items() for slot in self._slots(region, count))

    def _slots(self, region: str, count: int) -> list[Slot]:
        app, pool = self.app, self.name
        slots = [Slot(app=app, pool=pool, region=region, number=number) for number in range(count)]
        for number, name in enumerate(self.names.get(region, ())[:count]):
            if name != slots[number].name:
                slots[number] = replace(slots[number], given=name)
        return slots

    @property
    def has_slots(self) -> bool:
        return any(count > 0 for count in self.counts.values())

    @property
    def anchor(self) -> Slot | None:
        """Return the slot with the smallest (number, region); None in an empty pool.

        It keeps what concerns the whole pool.
        """
        return min(self.slots, key=lambda slot: (slot.number, slot.region), default=None)


_COMPARED: Final = tuple(name for name in Pool.__struct_fields__ if name not in {"image_at", "name_places"})


class App(Struct, frozen=True, kw_only=True):
    """An app of the spec.

    `name` is its name on the platform, `org` the organisation in which a missing app is created. `addresses` are the IP
    addresses that it should have, None if the spec does not say.
    """

    label: str
    name: str
    org: str
    pools: tuple[Pool, ...] = ()
    place: Place | None = None
    addresses: tuple[IpKind, ...] | None = None

    @property
    def public_pools(self) -> tuple[Pool, ...]:
        """Return the pools with machines that the public calls."""
        return tuple(pool for pool in self.pools if pool.has_slots and pool.has_public_ports)


class Spec(Struct, frozen=True, kw_only=True):
    """A whole spec: the stack's name, written on its machines, and the apps.

    `unlisted_regions` holds a warning for each region that the package's dated list does not have. `environment` is
    the name of the environment that it was read for. `overlays` are the files that lie over `file`, the last one on
    top, and `variables` the names of the variables that all of them take values from.
    """

    stack: str
    apps: tuple[App, ...]
    file: str = "machines.yaml"
    warnings: tuple[str, ...] = field(default=())
    unlisted_regions: Mapping[str, Diagnostic] = field(default_factory=dict)
    environment: str | None = None
    overlays: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()

    @property
    def pools(self) -> tuple[Pool, ...]:
        return tuple(pool for app in self.apps for pool in app.pools)

    @property
    def apps_with_addresses(self) -> frozenset[str]:
        """Return the apps whose IP addresses are asked for, by name."""
        return frozenset(app.name for app in self.apps if app.addresses is not None)

    @property
    def tasks(self) -> tuple[Pool, ...]:
        return tuple(pool for pool in self.pools if pool.kind is PoolKind.TASK)

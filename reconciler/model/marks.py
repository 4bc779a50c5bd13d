"""Our marks in a machine's metadata: the only memory there is.

Every owned machine carries its owner (`stack`), its place (`pool`, `slot`) and what was applied to it. Marks guard
against accidents, not against hostile code: root in any machine of an app can write the metadata of all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, overload

from msgspec import Struct

PREFIX: Final = "reconciler_"
MAX_VALUE_BYTES: Final = 200
MAX_BYTES: Final = 8192  # of one machine's metadata, names and values; assumption A5
STACK: Final = PREFIX + "stack"  # owner
POOL: Final = PREFIX + "pool"
KIND: Final = PREFIX + "kind"  # what the pool is: `task` or `service`; absent where an earlier version wrote last
SLOT: Final = PREFIX + "slot"  # equals the machine's name, else the machine is a clone made by hand
REVISION: Final = PREFIX + "rev"  # of the spec that was last applied to the machine
LAST_PLAN: Final = PREFIX + "plan"  # on the stack's anchor: the hash of the reviewed plan that was applied last
HIGHEST: Final = PREFIX + "hw"  # on the stack's anchor: the highest revision, with the last whole one if it is none
DID: Final = PREFIX + "did"  # did0…did7: changes of the reviewed plan that was applied last
PROTECT: Final = PREFIX + "protect"  # the pool was protected when it was last seen in a spec
APPLIED: Final = PREFIX + "applied"  # digest of the desired config when it was last applied
FIELDS: Final = PREFIX + "fields"  # a short digest for each section of that config
KEYS: Final = PREFIX + "keys"  # the metadata keys that the spec declared
ATTEMPT: Final = PREFIX + "attempt"  # ULID of the create
ANCHOR: Final = PREFIX + "anchor"  # name of the pool's anchor slot
WANT: Final = PREFIX + "want"  # on the anchor: the pool's desired digest, its revision, the digest of its image
COUNTS: Final = PREFIX + "counts"  # on the anchor: how many machines the pool had by region when it was applied
TERMS: Final = PREFIX + "terms"  # on the anchor: what one run may be
RUN: Final = PREFIX + "r"  # r0…r15: run records
FINGERPRINTS: Final = PREFIX + "f_"  # on the anchor: f_<hour>_<number>, the keys of that hour that had to go
ENDS: Final = PREFIX + "e"  # e0…e7, on the anchor: how runs ended whose machine an apply took away
KEY: Final = PREFIX + "k_"  # on the anchor: k_ and the hash of an idempotency key
GONE: Final = PREFIX + "gone"  # on a machine that this tool is about to destroy, if no anchor that stays records it
OVERRIDE: Final = PREFIX + "override"  # the config is that of one run: its ULID, and the version to go back to
LOCAL_CONTEXT: Final = "local_context"  # not a mark: what the local engine copies where the spec builds the image

_LONGEST_VALUE: Final = 200
_NUMBERED: Final = (RUN, ENDS)
_NAMED_BY_KEYS: Final = (KEY, FINGERPRINTS)
_OF_RECORDS: Final = (ATTEMPT, *_NUMBERED, *_NAMED_BY_KEYS)


class MetadataWrite(Struct, frozen=True, kw_only=True):
    """Marks to be written on one machine beside its config, in this order.

    An empty value takes a mark away. `machine_id` is None if the plan makes the machine. `depends_on` holds the
    addresses of what must have ended first.
    """

    app: str
    name: str
    machine_id: str | None
    marks: Mapping[str, str]
    depends_on: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Return its address, unique among the bookkeeping of a plan."""
        return f"{self.app}/{self.name} ({self.machine_id or 'new'}): marks"


class DueWrites(Sequence[MetadataWrite]):
    """Writes that are computed at their first use. They equal a tuple of the same.

    `find` must return the same each time. After its first call it is released, with what it needs.
    """

    __slots__ = ("_find", "_found")

    def __init__(self, find: Callable[[], tuple[MetadataWrite, ...]]) -> None:
        self._find: Callable[[], tuple[MetadataWrite, ...]] | None = find
        self._found: tuple[MetadataWrite, ...] = ()

    def _writes(self) -> tuple[MetadataWrite, ...]:
        if find := self._find:  # two threads find the same
            self._found = find()
            self._find = None
        return self._found

    def __len__(self) -> int:
        return len(self._writes())

    @overload
    def __getitem__(self, index: int) -> MetadataWrite: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MetadataWrite, ...]: ...
    def __getitem__(self, index: int | slice) -> MetadataWrite | tuple[MetadataWrite, ...]:
        return self._writes()[index]

    def __eq__(self, other: object) -> bool:
        return self._writes() == (other._writes() if isinstance(other, DueWrites) else other)

    def __hash__(self) -> int:
        return hash(self._writes())

    def __repr__(self) -> str:
        return repr(self._writes())

    def __reduce__(self) -> tuple[object, ...]:
        return tuple, (self._writes(),)


def is_mark(key: str) -> bool:
    """Return whether the metadata key is one of ours."""
    return key.startswith(PREFIX)


def is_record(key: str) -> bool:
    """Return whether the mark is of one machine's runs or create.

    Only an apply or a run reads it, under the lease.
    """
    if not key.startswith(_OF_RECORDS):
        return False
    is_numbered = any(key.startswith(prefix) and key.removeprefix(prefix).isdigit() for prefix in _NUMBERED)
    return key == ATTEMPT or is_numbered or key.startswith(_NAMED_BY_KEYS)


def is_left_over(metadata: Mapping[str, str]) -> bool:
    """Return whether there are marks and no owner, as where a release was cut off."""
    return STACK not in metadata and any(map(is_mark, metadata))


def without_marks(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata that is not ours."""
    return {key: value for key, value in metadata.items() if not is_mark(key)}


def size_of(metadata: Mapping[str, str]) -> int:
    """Return how many bytes the metadata takes."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())


def override_of(ulid: str, version: str, digest: str) -> str:
    """Return the value of the mark `override`.

    It says whose config it is, and the version and live digest to go back to.
    """
    return f"{ulid};{version};{digest}"


def parse_override(value: str) -> tuple[str, str, str]:
    """Parse the mark `override` into ULID, version and digest; empty if it is none."""
    ulid, _, rest = value.partition(";")
    version, _, digest = rest.partition(";")
    return ulid, version, digest


def override_owner(value: str) -> str:
    """Return the ULID of the run that the mark `override` belongs to."""
    return parse_override(value)[0]


class Want(NamedTuple):
    """The mark `want`: what the pool's machines should be.

    `image_digest` is what their image's tag was resolved to.
    """

    digest: str
    revision: str | None = None
    image_digest: str | None = None

    def to_text(self) -> str:
        """Return the value of the mark."""
        parts = [self.digest, self.revision or "", self.image_digest or ""]
        return ";".join(parts).rstrip(";")


def parse_want(value: str) -> Want:
    """Parse the mark `want`."""
    digest, _, rest = value.partition(";")
    revision, _, image_digest = rest.partition(";")
    return Want(digest, revision or None, image_digest or None)


def counts_to_text(counts: Mapping[str, int]) -> str:
    """Return the value of the mark `counts`; empty if it is too long for a mark."""
    text = ",".join(f"{region}={count}" for region, count in sorted(counts.items()))
    return text if len(text) <= _LONGEST_VALUE else ""


def parse_counts(value: str) -> dict[str, int]:
    """Parse the mark `counts`."""
    pairs = (part.partition("=") for part in value.split(","))
    return {region: int(count) for region, _, count in pairs if count.isascii() and count.isdigit()}


def may_be_owned(metadata: Mapping[str, str], *, stack: str | None, name: str, are_whole: bool) -> bool:
    """Return whether an unobservable machine may belong to the stack (None: to any).

    `are_whole` says that all its marks are known: then a machine without an owner is not ours. `name` is "" if it is
    not known.
    """
    owner = metadata.get(STACK)
    if owner is None:
        return not are_whole
    return stack in {None, owner} and (not name or is_owned(metadata, stack=owner, name=name))


def is_owned(metadata: Mapping[str, str], *, stack: str, name: str) -> bool:
    """Return whether a machine of this name and metadata belongs to the stack.

    The mark `slot` of a machine that was cloned by hand names another machine.
    """
    return metadata.get(STACK) == stack and metadata.get(SLOT) == name and POOL in metadata

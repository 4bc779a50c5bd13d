"""The one table of a config's sections, and of the fields of a pool for them.

A section is a top-level member of `fly.MachineConfig`, in the API's spelling. A field is a member of a pool in a spec.
What a section is like decides how it is compared (planner/diff.py), hashed (normalize.py), masked (render/redact.py)
and read from `config:` (spec/raw_config.py); what a field is like, how levels of a spec are merged (spec/merge.py) and
what it becomes (spec/config.py). A section that is not here still reaches the API, and is compared member by member.
"""

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from reconciler.canonical import forms
from reconciler.model.spec import PoolKind

Form = Callable[[Mapping[str, Any]], Any]


class RawConfig(enum.Enum):
    """What the pool's `config:` may say of a section."""

    ALL = "all"  # no field says anything of it
    NOTHING = "nothing"  # a field says all that there is
    MEMBERS = "members"  # the members that no declared field says
    INSTEAD = "instead"  # all of it, where no declared field says it


class Merge(enum.Enum):
    """How a field of a pool merges with its app's, and that with the defaults'."""

    WHOLE = "whole"
    BY_KEY = "by key"  # null takes a key of the level below away
    DEEP = "deep"  # by key, at any depth


class Section(Struct, frozen=True, kw_only=True):
    """A section of a machine config, and what the server does with it.

    Compared are canonical forms. A leaf that is declared and missing or another one is always a difference; the other
    way round it depends on the section.
    """

    name: str
    kind: type
    raw_config: RawConfig = RawConfig.ALL
    is_added: bool = False  # by the server, unasked: then one that is there and not declared is no difference
    is_closed: bool = False  # all members are the user's: one that is there and not declared is a difference
    is_as_sent: bool = False  # the server puts nothing of its own in: another digest than applied is someone's doing
    closed_members: frozenset[str] = frozenset()  # lists in which an item more is a difference
    switches: frozenset[str] = frozenset()  # members, at any depth, that are false when left out and never set unasked
    secrets: frozenset[str] = frozenset()  # members, at any depth, below which no value is shown
    form: Form | None = None  # canonical form, where it is not just what is there without empty members


class Field(Struct, frozen=True, kw_only=True):
    """A field of a pool.

    One with a path and no builder in spec/config.py is sent as it is written.
    """

    name: str
    path: str | None = None  # `section` or `section.member` of the config that it becomes; None: it makes none itself
    settles: tuple[str, ...] = ()  # other paths that `config:` cannot say where this field is declared
    merge: Merge = Merge.WHOLE
    replaces: tuple[str, ...] = ()  # fields of the levels below that go where this one is declared
    only: PoolKind | None = None  # the only kind of pool that has it; another one's app or defaults may set it
    secrets: frozenset[str] = frozenset()  # members, at any depth, below which no error shows what is written
    unsupported: str | None = None  # what to do until it works


# Whoever says what runs says all of it.
_WHAT_RUNS: Final = ("init.exec", "init.cmd", "init.entrypoint", "processes")

SECTIONS: Final = (
    Section(name="image", kind=str, raw_config=RawConfig.NOTHING, is_as_sent=True, form=forms.canonical_image),
    Section(
        name="init",
        kind=dict,
        raw_config=RawConfig.MEMBERS,
        is_as_sent=True,
        closed_members=frozenset({"cmd", "entrypoint", "exec"}),
        switches=frozenset({"tty"}),
    ),
    Section(
        name="processes",
        kind=list,
        raw_config=RawConfig.INSTEAD,
        is_closed=True,
        is_as_sent=True,
        secrets=frozenset({"env"}),
    ),
    Section(
        name="env",
        kind=dict,
        raw_config=RawConfig.NOTHING,
        is_closed=True,
        is_as_sent=True,
        secrets=frozenset({"env"}),
        form=forms.canonical_env,
    ),
    Section(name="guest", kind=dict, raw_config=RawConfig.MEMBERS, is_as_sent=True, form=forms.canonical_guest),
    Section(name="size", kind=str, raw_config=RawConfig.NOTHING, is_added=True),  # deprecated: read as a guest
    Section(name="restart", kind=dict, raw_config=RawConfig.MEMBERS, is_as_sent=True, form=forms.canonical_restart),
    Section(
        name="files",
        kind=list,
        raw_config=RawConfig.INSTEAD,
        is_closed=True,
        is_as_sent=True,
        secrets=frozenset({"raw_value"}),
    ),
    Section(
        name="stop_config", kind=dict, raw_config=RawConfig.MEMBERS, is_as_sent=True, form=forms.canonical_stop_config
    ),
    Section(
        name="metadata",
        kind=dict,
        raw_config=RawConfig.NOTHING,
        is_added=True,  # by other tools; which keys were ours, a mark says
        form=forms.canonical_metadata,
    ),
    Section(
        name="services",
        kind=list,
        raw_config=RawConfig.INSTEAD,
        switches=frozenset({"force_https", "autostop"}),
        secrets=frozenset({"values"}),
        form=forms.canonical_services,
    ),
    Section(
        name="checks",
        kind=dict,
        raw_config=RawConfig.INSTEAD,
        is_closed=True,
        is_as_sent=True,
        secrets=frozenset({"values"}),
        form=forms.canonical_checks,
    ),
    Section(name="schedule", kind=str, raw_config=RawConfig.NOTHING, is_as_sent=True),
    Section(name="mounts", kind=list, form=forms.canonical_mounts),
    Section(name="dns", kind=dict, raw_config=RawConfig.MEMBERS, is_added=True, secrets=frozenset({"value"})),
    Section(name="containers", kind=list, secrets=frozenset({"env", "raw_value", "values"})),
    Section(name="rootfs", kind=dict, form=forms.canonical_rootfs),
    Section(name="auto_destroy", kind=bool),
    Section(name="cache_drive", kind=dict, is_added=True),
    Section(name="disable_machine_autostart", kind=bool, is_added=True),
    Section(name="metrics", kind=dict, is_added=True),
    Section(name="spot", kind=dict),
    Section(name="standbys", kind=list),
    Section(name="statics", kind=list),
)

FIELDS: Final = (
    Field(name="image", path="image", replaces=("build",)),
    Field(name="build", replaces=("image",), secrets=frozenset({"args"})),
    Field(name="entrypoint", path="init.entrypoint", settles=_WHAT_RUNS),
    Field(name="command", path="init.cmd", settles=_WHAT_RUNS, replaces=("processes",)),
    Field(name="args", settles=_WHAT_RUNS),
    Field(name="processes", path="processes", settles=_WHAT_RUNS, replaces=("command", "args", "entrypoint")),
    Field(name="env", path="env", merge=Merge.BY_KEY, secrets=frozenset({"env"})),
    Field(name="secrets", unsupported="every secret of an app reaches its machines without being named"),
    Field(name="count"),
    Field(name="regions"),
    Field(name="slots"),
    Field(name="guest", path="guest", settles=("size",)),
    Field(name="swap_size_mb", path="init.swap_size_mb"),
    Field(name="restart", path="restart"),
    Field(name="files", path="files", secrets=frozenset({"content", "content_base64"})),
    Field(
        name="mounts",
        unsupported="until then put it under `config:`, as the API spells it: mounts: [{volume: vol_…, path: /data}]",
    ),
    Field(name="stop", path="stop_config"),
    Field(name="dns", path="dns"),
    Field(name="timeout", only=PoolKind.TASK),
    Field(name="overrides", only=PoolKind.TASK),
    Field(name="metadata", path="metadata", merge=Merge.BY_KEY),
    Field(name="ports", path="services", only=PoolKind.SERVICE),
    Field(name="checks", path="checks", only=PoolKind.SERVICE, secrets=frozenset({"headers"})),
    Field(name="rollout", merge=Merge.BY_KEY, only=PoolKind.SERVICE),
    Field(name="schedule", path="schedule", only=PoolKind.TASK),
    Field(name="launch", only=PoolKind.TASK),
    Field(name="protect"),
    Field(name="config", merge=Merge.DEEP),
)

CLOSED: Final = frozenset(one.name for one in SECTIONS if one.is_closed)

NEVER_ADDED: Final = frozenset(one.name for one in SECTIONS if not one.is_added)

AS_SENT: Final = frozenset(one.name for one in SECTIONS if one.is_as_sent)

CLOSED_MEMBERS: Final = frozenset((one.name, member) for one in SECTIONS for member in one.closed_members)

SWITCHES: Final = frozenset(member for one in SECTIONS for member in one.switches)

SECRET_MEMBERS: Final = frozenset(member for one in SECTIONS for member in one.secrets)

SECRET_KEYS: Final = SECRET_MEMBERS.union(*(one.secrets for one in FIELDS))

FORMS: Final = tuple((one.name, one.kind, one.form) for one in SECTIONS if one.form)


def section_named(name: str) -> Section | None:
    """Return the section of this name, None for one that we do not know."""
    return next((one for one in SECTIONS if one.name == name), None)


def fields_that_say(path: str) -> tuple[Field, ...]:
    """Return the fields that say what is at a path; one with this very path is first."""
    return tuple(sorted((one for one in FIELDS if path in {one.path, *one.settles}), key=lambda one: one.path != path))


def secret_values(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Yield every string below a secret member of a config, or of any body."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from secret_values(member, is_secret=is_secret or key in SECRET_MEMBERS)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from secret_values(member, is_secret=is_secret)
    elif is_secret and isinstance(value, str):
        yield value

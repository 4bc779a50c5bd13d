"""Write the spec that is like a fly.toml, with comments where it cannot be.

Each process group becomes a service, and the release command the task `release`. Their planned configs are those that
`fly deploy` sends; volumes are left to the user.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct, field

from reconciler.drafts.fly_toml.groups import Groups
from reconciler.drafts.fly_toml.image import Place, put_image
from reconciler.drafts.fly_toml.machine import RELEASE_GROUP, Config, group_config, machine_files, release_config
from reconciler.drafts.fly_toml.patches import patched, string_of
from reconciler.drafts.fly_toml.pools import put_release, put_service
from reconciler.drafts.fly_toml.unsaid import Unsaid, find_unsaid, section_at
from reconciler.drafts.heading import put_heading
from reconciler.drafts.names import pool_names
from reconciler.drafts.nodes import DraftMap, Template, block
from reconciler.drafts.variables import Variables
from reconciler.model.regions import GIVEN_UP, LISTED, LISTED_IN

_RELEASE: Final = "release"
_DEFAULT_REGION: Final = "iad"
_NO_NAME: Final = frozenset("=\0")  # no variable's name has these
_LISTS: Final = ("services", "mounts", "vm", "restart", "metrics")  # of sections that name their groups


class Found(Struct, frozen=True, kw_only=True):
    """A fly.toml as it was read, and what was found beside it.

    `files` are the contents of local files, None of those that cannot be read.
    """

    document: Mapping[str, Any]
    file: str
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    place: Place = field(default_factory=Place)


class FlyDraft(Struct, frozen=True, kw_only=True):
    """The draft, and what to tell the user of it.

    `pools` are the configs by pool that the draft must make, but for images and volumes. `variables` have the values
    that the draft leaves out.
    """

    draft: DraftMap
    report: tuple[str, ...]
    variables: Mapping[str, str]
    pools: Mapping[str, Config]


def draft_of(found: Found, *, name: str, org: str | None, region: str | None) -> FlyDraft:
    """Return the draft of the app `name`. Raises UsageError for what flyctl refuses.

    `region` is where machines are if the file names none that the platform has.
    """
    document = patched(found.document)
    unsaid = [*find_unsaid(found.document), *_nameless(document), *_unknown_groups(document)]
    document["env"] = {key: value for key, value in document["env"].items() if key and not _NO_NAME & set(key)}
    groups = Groups(document)
    files = machine_files(document, found.files)
    unsaid += _missing_files(document, found.files)
    places = _by_place(unsaid, groups, found.document)
    draft, variables = DraftMap(), Variables(shows_files=True)
    put_heading(draft, f"Written by `reconciler init` from {found.file}.")
    draft.put("version", 1)
    draft.put("name", name)
    report = [one.words for one in unsaid]
    draft.put("defaults", _defaults(document, region, report))
    app = _app(found, document, name, org, variables, report)
    for one in places.pop(None, ()):
        app.say(one.words)
    pools: dict[str, Config] = {}
    names = pool_names(groups.names)
    if release := release_config(document, files):
        task = next(one for one in (_RELEASE, "release-command", "fly-release-command") if one not in names.values())
        pools[task] = release
        app.put("tasks", put_release(task, release, document["deploy"], places.pop(RELEASE_GROUP, ()), variables))
    services = DraftMap()
    for group, pool in names.items():
        pools[pool] = group_config(document, groups, group, files)
        mounts = groups.sections("mounts", group)
        report += put_service(services, pool, group, pools[pool], mounts, places.pop(group, ()), variables)
    app.put("services", services)
    draft.put("apps", block({name: app}))
    return FlyDraft(
        draft=draft, report=tuple(" ".join(line.split()) for line in report), variables=variables.values, pools=pools
    )


def _defaults(document: Mapping[str, Any], region: str | None, report: list[str]) -> DraftMap:
    """Return the defaults: the region, with a comment if it is not the file's own."""
    defaults = DraftMap()
    primary = string_of(document.get("primary_region"), "primary_region")
    fallback = region if region in LISTED else _DEFAULT_REGION
    chosen = primary if primary in LISTED else GIVEN_UP.get(primary, fallback)
    if not primary:
        defaults.say("fly.toml has no primary_region; choose the region that is nearest to your users.")
    elif primary in GIVEN_UP:
        words = f"primary_region = {primary}: the platform has given up this region; {chosen} is near it"
        defaults.say(words)
        report.append(words)
    elif primary != chosen:
        words = f"primary_region = {primary}: it is no region in the platform's list of {LISTED_IN}"
        defaults.say(words)
        report.append(words)
    defaults.put("regions", [chosen])
    return defaults


def _app(
    found: Found, document: Mapping[str, Any], name: str, org: str | None, variables: Variables, report: list[str]
) -> DraftMap:
    """Return the app's draft, with what all its pools share."""
    app = DraftMap()
    if org:
        app.put("org", org)
    report += put_image(app, document["build"], name, variables, found.place)
    env = {key: variables.instead_of(value, name=key, owner=name) for key, value in document["env"].items()}
    if region := string_of(document.get("primary_region"), "primary_region"):
        env["PRIMARY_REGION"] = region
    if any(isinstance(value, Template) for value in env.values()):
        app.say(
            "A variable in place of each value that looks secret. Better still: `fly secrets set` it, and take it out"
            " here, since secrets of the app reach its machines by themselves."
        )
    if env:
        app.put("env", block(env))
    return app


def _nameless(document: Mapping[str, Any]) -> Iterator[Unsaid]:
    for key in document["env"]:
        if not key or _NO_NAME & set(key):
            yield Unsaid(("env", key), "a variable cannot have this name")


def _unknown_groups(document: Mapping[str, Any]) -> Iterator[Unsaid]:
    """Yield the sections that are for process groups that do not exist."""
    groups = Groups(document)
    for place, section in _grouped_sections(document):
        if not groups.of(section, str(place[0])):
            yield Unsaid((*place, "processes"), "there is no such process group", section.get("processes"))


def _grouped_sections(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield each section that process groups have, with its place."""
    if document["http_service"] is not None:
        yield ("http_service",), document["http_service"]
    for name, check in document["checks"].items():
        yield ("checks", name), check
    for key in _LISTS:
        for number, section in enumerate(document[key]):
            yield (key, number), section


def _missing_files(document: Mapping[str, Any], files: Mapping[str, bytes | None]) -> Iterator[Unsaid]:
    for number, file in enumerate(document["files"]):
        path = string_of(file.get("local_path"), "files.local_path")
        if path and files.get(path) is None:
            yield Unsaid(("files", number, "local_path"), "it cannot be read here, or is too large for a spec", path)
        elif not path and not file.get("secret_name") and not file.get("raw_value"):
            yield Unsaid(("files", number), "it has no content")
        if file.get("processes"):
            yield Unsaid(("files", number, "processes"), "fly deploy gives the file to every group", file["processes"])


def _by_place(unsaid: list[Unsaid], groups: Groups, document: Mapping[str, Any]) -> dict[str | None, list[Unsaid]]:
    """Return what is unsaid by process group; None is the app."""
    found: dict[str | None, list[Unsaid]] = {}
    for one in unsaid:
        found.setdefault(_place_of(one, groups, document), []).append(one)
    return found


def _place_of(one: Unsaid, groups: Groups, document: Mapping[str, Any]) -> str | None:
    if one.place[:2] == ("deploy", "release_command_vm"):
        return RELEASE_GROUP if document["deploy"].get("release_command") else None
    section = section_at(document, one.place)
    return next(iter(groups.of(section, one.key)), None) if section is not None else None

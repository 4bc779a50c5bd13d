"""Turn a tree of the right shape into the nouns.

It merges defaults, names things and what is built, and applies the rules across fields.
"""

from collections.abc import Iterator
from typing import Final

from reconciler.model.config import MachineConfig
from reconciler.model.image import FLY_REGISTRY
from reconciler.model.ip_address import IpKind
from reconciler.model.spec import App, Build, Diagnostic, Pool, PoolKind, Spec
from reconciler.spec.clashes import check_machine_names, check_volumes
from reconciler.spec.config import build_config
from reconciler.spec.diagnostics import Findings, place_of
from reconciler.spec.merge import merged
from reconciler.spec.policies import build_rollout, build_run_policy
from reconciler.spec.regions import build_counts, build_names
from reconciler.spec.yaml_nodes import Entry, List, Map, Node, Scalar, is_null, make_map

_MAX_MACHINES: Final = 200_000
_MAX_MERGED: Final = 2_000_000  # values of all pools, with what the defaults and the apps give to each
_APP_FIELDS: Final = frozenset({"name", "org", "tasks", "services", "addresses"})
_KINDS: Final = {"tasks": PoolKind.TASK, "services": PoolKind.SERVICE}
_TAG_DIGITS: Final = 8


def parse_spec(root: Map, findings: Findings) -> Spec:
    """Return the spec; what contradicts itself is added to the findings."""
    defaults = root.get("defaults")
    apps_node = root.get("apps")
    assert isinstance(apps_node, Map)
    if (merged := _merged_size(root, apps_node)) > _MAX_MERGED:
        hint = "declare fewer pools, or less in what all of them share"
        findings.add(apps_node, f"the pools have more than {_MAX_MERGED} values in all ({merged})", hint=hint)
        findings.raise_if_any()
    apps = []
    names: dict[str, str] = {}
    for label, entry in apps_node.items():
        app = _app(label, entry, defaults if isinstance(defaults, Map) else None, findings)
        if app.name in names:
            hint = "give one of them another `name`, or put the pools of both under one"
            message = f"app {label!r} has the same name as app {names[app.name]!r}: {app.name}"
            findings.add(entry.key, message, hint=hint)
        names.setdefault(app.name, label)
        apps.append(app)
    total = sum(sum(pool.counts.values()) for app in apps for pool in app.pools)
    if total > _MAX_MACHINES:
        hint = "lower `count`, or split it into several specs"
        findings.add(apps_node, f"{total} machines in all; a spec may have {_MAX_MACHINES}", hint=hint)
    else:  # so many names are not looked at one by one
        for app in apps:
            check_machine_names(app, findings)
        check_volumes(apps, findings)
    return Spec(
        stack=_text(root.get("name")),
        apps=tuple(apps),
        file=root.file,
        unlisted_regions=findings.unlisted_regions,
    )


def _app(label: str, entry: Entry, defaults: Map | None, findings: Findings) -> App:
    node = entry.value
    assert isinstance(node, Map)
    name = _text(node.get("name")) or label
    own = make_map(node, {key: value for key, value in node.items() if key not in _APP_FIELDS})
    _check_image_or_build(node, findings)
    _check_images(label, entry, merged(defaults, own), findings)
    pools = tuple(_pools(name, node, merged(defaults, own), findings))
    return App(
        label=label,
        name=name,
        org=_text(node.get("org")) or "personal",
        pools=pools,
        place=place_of(entry.key),
        addresses=_addresses(node.get("addresses"), findings),
    )


def _addresses(node: Node | None, findings: Findings) -> tuple[IpKind, ...] | None:
    """Return the declared kinds of addresses, in the order of the enum.

    A null is the same as a missing field.
    """
    if not isinstance(node, List):
        return None
    kinds: set[IpKind] = set()
    for item in node.items:
        kind = IpKind(_text(item))
        if kind in kinds:
            findings.add(item, f"address {kind.value!r} is there twice", hint="an app has at most one of a kind here")
        kinds.add(kind)
    return tuple(kind for kind in IpKind if kind in kinds)


def _pools(app: str, node: Map, defaults: Map, findings: Findings) -> Iterator[Pool]:
    seen: dict[str, Scalar] = {}
    for section, kind in _KINDS.items():
        pools = node.get(section)
        for name, entry in pools.items() if isinstance(pools, Map) else ():
            if name in seen:
                first = seen[name]
                where = f"on line {first.line}" + (f" of {first.file}" if first.file != entry.key.file else "")
                hint = "give it another name: a task and a service of one app cannot share one"
                findings.add(entry.key, f"pool {name!r} is in this app already, {where}", hint=hint)
            seen[name] = entry.key
            assert isinstance(entry.value, Map)
            _check_image_or_build(entry.value, findings)
            yield _pool(app, name, kind, entry, merged(defaults, entry.value), findings)


def _pool(app: str, name: str, kind: PoolKind, entry: Entry, node: Map, findings: Findings) -> Pool:
    assert isinstance(entry.value, Map)
    build = _parse_build(node.get("build"))
    config = MachineConfig(document=build_config(_with_image(node, app, build), kind, findings))
    counts = build_counts(node, findings)
    places = build_names(node, counts, findings)
    return Pool(
        app=app,
        name=name,
        kind=kind,
        counts=counts,
        names={region: tuple(found) for region, found in places.items()},
        name_places={name: place for found in places.values() for name, place in found.items()},
        config=config,
        image_at=None if build else _at(node.get("image"), findings),
        image_variables=() if build else _variables_of(node.get("image")),
        build=build,
        build_image=config.image if build else None,
        run_policy=build_run_policy(node, entry.value, kind, findings),
        rollout=build_rollout(node, entry.value, kind, findings),
        launch=kind is PoolKind.TASK and _is_true(node.get("launch")),
        is_protected=_is_true(node.get("protect")),
        place=place_of(entry.key),
    )


def _check_images(label: str, app: Entry, defaults: Map, findings: Findings) -> None:
    """Find pools without an image; if no pool of an app has one, that is one error."""
    assert isinstance(app.value, Map)
    pools = [entry for kind in _KINDS if isinstance(of := app.value.get(kind), Map) for _, entry in of.items()]
    lacking = [
        entry.key
        for entry in pools
        if isinstance(entry.value, Map) and not {"image", "build"} & merged(defaults, entry.value).entries.keys()
    ]
    what = f"`image: {FLY_REGISTRY}/{label}:TAG`, or `build: .` for a Dockerfile here"
    if len(lacking) > 1 and len(lacking) == len(pools):
        findings.add(app.key, f"app {label!r} has no `image` and no `build`, nor has a pool of it", hint=f"add {what}")
        return
    for key in lacking:
        findings.add(key, f"pool {key.text!r} has no `image` and no `build`", hint=f"add {what}, to it or to its app")


def _at(node: Node | None, findings: Findings) -> Diagnostic | None:
    """Return where a value is written, for errors that are found later."""
    return findings.with_line(Diagnostic(place=place_of(node), message="")) if node else None


def _variables_of(node: Node | None) -> tuple[str, ...]:
    return node.variables if isinstance(node, Scalar) else ()


def _check_image_or_build(node: Map, findings: Findings) -> None:
    if "image" in node.entries and "build" in node.entries:
        findings.add(node.entries["build"].key, "`image` and `build` exclude each other", hint="remove one")


def _is_true(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.value is True


def _merged_size(root: Map, apps: Map) -> int:
    """Count the values of all pools once what they share is in each of them."""
    defaults = root.get("defaults")
    total = 0
    for app in apps.entries.values():
        assert isinstance(app.value, Map)
        pools = [pools for section in _KINDS if isinstance(pools := app.value.get(section), Map)]
        shared = (defaults.size if defaults else 0) + app.value.size - sum(one.size for one in pools)
        total += sum(one.size + len(one.entries) * shared for one in pools)
    return total


def _with_image(node: Map, app: str, build: Build | None) -> Map:
    """Give a pool that is built the image that the build is pushed as."""
    if build is None:
        return node
    at = node.entries["build"]
    image = Scalar(
        file=at.value.file,
        line=at.value.line,
        column=at.value.column,
        text=_image_of_build(build, app),
        is_plain=False,
    )
    return make_map(node, node.entries | {"image": Entry(key=at.key, value=image)})


def _text(node: Node | None) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _parse_build(node: Node | None) -> Build | None:
    """Return the build of a node of the right shape: a context, or a map."""
    if isinstance(node, Scalar):
        return Build(context=node.text)
    if not isinstance(node, Map):
        return None
    args = node.get("args")
    return Build(
        context=_text(node.get("context")) or ".",
        dockerfile=_text(node.get("dockerfile")) or "Dockerfile",
        target=_text(node.get("target")) or None,
        args={name: _text(entry.value) for name, entry in args.items() if not is_null(entry.value)}
        if isinstance(args, Map)
        else {},
    )


def _image_of_build(build: Build, app: str) -> str:
    """Return the image in the app's own repository of Fly's registry.

    Its tag tells an app's builds apart. It does not follow the content: the digest says which image it is.
    """
    import hashlib
    import json

    parts = json.dumps([build.context, build.dockerfile, build.target])
    return f"{FLY_REGISTRY}/{app}:build-{hashlib.sha256(parts.encode()).hexdigest()[:_TAG_DIGITS]}"

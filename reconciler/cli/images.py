"""The spec with its images named by digest: what their tags are now, as far as the registries tell; built, if asked."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli import spec_file
from reconciler.cli.ui import console, streams
from reconciler.cli.ui.options import Shared, Text
from reconciler.model.machine import Observed
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.images.builder import Builder
    from reconciler.images.builds import Built, Deliver, Images
    from reconciler.images.credentials import Credentials
    from reconciler.slots.context import Context
    from reconciler.targets import Target

F = TypeVar("F", bound=Callable[..., Any])
_MODES = ("always", "auto", "never")
_BUILDERS = ("docker", "podman", "buildah")
_HOW_TO_BUILD = "run `reconciler build`, or apply with --build"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imaging:
    """What is asked for: `mode` of looking tags up; for an apply, whether images are built, by what, to where."""

    mode: str
    push_to: str | None = None
    must_be_built: bool = False
    builds: bool = False
    builder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A snapshot, and the spec with the digests that its plan is made with; `digests` are those that were looked up."""

    spec: Spec
    observed: Observed
    digests: Mapping[str, str] = field(default_factory=dict)


def resolve_option(function: F) -> F:
    """Adds --resolve to a command."""
    text = "Look up what the images' tags name now. [default: auto: as far as the registries answer]"
    return click.option("--resolve", "resolve_mode", type=click.Choice(_MODES), help=text)(function)


def push_to_option(function: F) -> F:
    """Adds --push-to to a command."""
    text = "Where images are pushed that the spec builds. [default: the app's own at registry.fly.io]"
    return click.option("--push-to", "push_to", type=Text(), envvar=spec_file.PUSH_TO, metavar="REGISTRY", help=text)(
        function
    )


def builder_option(function: F) -> F:
    """Adds --builder to a command."""
    text = "What builds images. [default: the first that is here]"
    return click.option("--builder", type=click.Choice(_BUILDERS), help=text)(function)


def mode_of(flag: str | None, target: "Target") -> str:
    """The flag's, else the environment's. Where the local engine runs commands on the host, no image is looked up."""
    named = flag or os.environ.get("RECONCILER_RESOLVE")
    if named and named not in _MODES:
        raise click.UsageError(f"RECONCILER_RESOLVE is {named!r}; it is {', '.join(_MODES)}")
    return named or ("never" if target.runs_on_host else "auto")


def pushed_to(spec: Spec, prefix: str | None) -> Spec:
    """The spec whose built images are pushed there. Raises BuildError."""
    if not prefix:
        return spec
    from reconciler.images.builds import with_push_to

    return with_push_to(spec, prefix)


async def observe_pinned(context: "Context", spec: Spec, options: Shared, target: "Target", imaging: Imaging) -> Pinned:
    """The snapshot, taken while the tags are looked up. Raises ApiError, RegistryError, BuildError, SpecError."""
    import asyncio

    from reconciler.machines_api.observe import observe
    from reconciler.machines_api.regions import check_regions

    looking = asyncio.create_task(look_up(spec, options, target, imaging))
    try:
        observed = await observe(context.client, [app.name for app in spec.apps], clock=context.clock)
        seen = {machine.region for machine in observed.machines}
        unlisted = await check_regions(context.client, spec, seen, only=options.only)
        digests, warnings = await looking
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)  # a build has ended; a second error is not told
    return _pinned(replace(spec, warnings=(*spec.warnings, *unlisted, *warnings)), observed, digests)


async def observe_as_planned(context: "Context", spec: Spec, digests: Mapping[str, str]) -> Pinned:
    """The snapshot, and the spec with the digests of a plan that was made before: those were reviewed."""
    from reconciler.machines_api.observe import observe

    observed = await observe(context.client, [app.name for app in spec.apps], clock=context.clock)
    return _pinned(spec, observed, digests)


def _pinned(spec: Spec, observed: Observed, digests: Mapping[str, str]) -> Pinned:
    from reconciler.planner.images import with_applied_digests, with_digests

    pinned = with_applied_digests(with_digests(spec, digests), observed)
    return Pinned(spec=pinned, observed=observed, digests=digests)


async def build_all(
    spec: Spec, options: Shared, target: "Target", *, builder: str | None, push_to: str | None
) -> "list[Built]":
    """The spec's images, built and delivered where they are not there yet. Raises BuildError, RegistryError."""
    import asyncio

    from reconciler.images.builder import find_builder
    from reconciler.images.builds import jobs_of, make

    jobs = await asyncio.to_thread(jobs_of, spec, spec_file.directory_of(spec), only=options.only)

    def found() -> "Builder":
        return find_builder(builder, console.say)

    async with _places(target, push_to) as places:
        return [await make(places.built, found, job, places.deliver) for job in jobs]


async def look_up(
    spec: Spec, options: Shared, target: "Target", imaging: Imaging
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The digest of each image by its reference, and what could not be looked up."""
    pools = [pool for pool in spec.pools if pool.slots and (not options.only or pool.name in options.only)]
    images = {pool.config.image for pool in pools if pool.config.image and not pool.build}
    digests: dict[str, str] = {}
    if imaging.builds and target.runs_on_host and not imaging.push_to:
        console.say("the local target runs commands on the host: no image is built for it")
    elif imaging.builds:
        built = await build_all(spec, options, target, builder=imaging.builder, push_to=imaging.push_to)
        digests = {one.job.image: one.digest for one in built}
    if imaging.mode == "never":
        return digests, ()
    from reconciler.images.resolve import Resolve, resolve_images

    async with _places(target, imaging.push_to) as places:
        resolved = await resolve_images(places.named, images, Resolve(imaging.mode))
        if imaging.builds or not any(pool.build for pool in pools):
            return {**digests, **resolved.digests}, resolved.warnings
        found, missing = await _look_up_builds(places.built, spec, options, imaging)
    return {**resolved.digests, **found}, (*resolved.warnings, *missing)


async def _look_up_builds(
    images: "Images", spec: Spec, options: Shared, imaging: Imaging
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The digests of what was built of the contexts as they are now, and a warning for each that was not."""
    import asyncio

    from reconciler.errors import BuildError, RegistryError
    from reconciler.images.builds import find_built, jobs_of

    digests, warnings = {}, []
    for job in await asyncio.to_thread(jobs_of, spec, spec_file.directory_of(spec), only=options.only):
        try:
            digest = await find_built(images, job)
        except RegistryError as error:
            if imaging.mode == "always":
                raise
            warnings.append(
                f"{error.message}; whether {job.build.context} has changed since it was applied is not known"
            )
            continue
        if digest:
            digests[job.image] = digest
            continue
        why = f"{job.build.context} is not built yet as it is now"
        if imaging.must_be_built:
            raise BuildError(why, hint=_HOW_TO_BUILD)
        warnings.append(f"{why}: {_HOW_TO_BUILD}; until then its image is as it was applied")
    return digests, tuple(warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where images are looked up: those that the spec names, those that it builds; and how the latter get there."""

    named: "Images"
    built: "Images"
    deliver: "Deliver"


@asynccontextmanager
async def _places(target: "Target", push_to: str | None) -> AsyncIterator[_Places]:
    from reconciler.images.builds import pushing
    from reconciler.images.credentials import find_credentials
    from reconciler.images.registry import Registry
    from reconciler.images.wire import Connection
    from reconciler.machines_api.auth import registry_password

    token = registry_password(target.token) if target.name == "fly" and target.token else None
    known = streams.current().known

    def credentials(host: str, name: str) -> "Credentials | None":
        found = find_credentials(host, name, os.environ, fly_token=token)
        if found:
            known.add(found.password.reveal())
        return found

    async with Connection() as connection:
        registry = Registry(connection, credentials)
        if target.container_host is None:
            yield _Places(named=registry, built=registry, deliver=pushing(credentials))
            return
        from reconciler.containers.client import ContainerEngine
        from reconciler.images.store import RegistryThenStore, Store

        async with ContainerEngine(target.container_host) as engine:
            store = Store(engine)
            named = RegistryThenStore(registry, store)
            if push_to:
                yield _Places(named=named, built=registry, deliver=pushing(credentials))
            else:
                yield _Places(named=named, built=store, deliver=store.deliver)

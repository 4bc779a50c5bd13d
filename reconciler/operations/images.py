"""Find what a spec's images are: digests of tags, contents of builds.

That is what the registries answer, and what the files of a build say. Images are built only if that is asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from reconciler.model.image import Resolve
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Spec
from reconciler.operations.load import directory_of
from reconciler.operations.session import Session
from reconciler.planner.desired import with_contents, with_digests

if TYPE_CHECKING:
    from reconciler.errors import RegistryError
    from reconciler.images.builder import Builder
    from reconciler.images.builds import BuiltImage, Deliver, Job
    from reconciler.images.credentials import Credentials
    from reconciler.images.registry import Images
    from reconciler.targets import Target

_RESOLVE: Final = "RECONCILER_RESOLVE"
_UNKNOWN: Final = "whether {} is built as it is now is not known"


class ImagePolicy(Struct, frozen=True, kw_only=True):
    """How images are treated. `mode` says whether tags are looked up.

    For an apply: whether images are built, by which builder, and where they are pushed. Without `must_be_built` it is
    only proposed, and so needs no image.
    """

    mode: Resolve = Resolve.AUTO
    push_to: str | None = None
    must_be_built: bool = True
    builds: bool = False
    builder: str | None = None


class LookedUp(Struct, frozen=True, kw_only=True):
    """A spec with what was found of its images.

    They are named by their digests, and built ones by their contents. `digests` are by the references of the images,
    and `jobs` are all builds. `unsure` says of built images why it is not known whether they are built.
    """

    spec: Spec
    digests: Mapping[str, str] = field(default_factory=dict)
    jobs: "tuple[Job, ...]" = ()
    unsure: "Mapping[str, RegistryError]" = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def warnings_without(self, absent: Collection[str]) -> tuple[str, ...]:
        """Return the warnings, but for registries of apps that are not there yet."""
        jobs = (job for job in self.jobs if job.content.tagged in self.unsure and job.app not in absent)
        said = (f"{self.unsure[job.content.tagged].message}; {_UNKNOWN.format(job.build.context)}" for job in jobs)
        return (*self.warnings, *said)


def mode_of(flag: str | None, environment: Mapping[str, str], target: "Target") -> Resolve:
    """Return how tags are looked up. Raises ValueError.

    The flag decides, else the environment, else the target. By default they are not looked up if the local engine runs
    commands on the host.
    """
    named = flag or environment.get(_RESOLVE)
    if not named:
        return Resolve.NEVER if target.runs_on_host else Resolve.AUTO
    if named not in [*Resolve]:
        raise ValueError(f"{_RESOLVE} must be one of {', '.join(Resolve)}, not {named!r}")
    return Resolve(named)


async def build_images(
    session: Session,
    spec: Spec,
    *,
    selection: Selection = WHOLE,
    builder: str | None = None,
    push_to: str | None = None,
) -> "tuple[BuiltImage, ...]":
    """Build the spec's images that are not there yet, and deliver them.

    Raises BuildError, RegistryError.
    """
    from reconciler.images.builds import jobs_of

    jobs = _unlike((await asyncio.to_thread(jobs_of, spec, directory_of(spec), selection=selection)).values())
    return await make_images(session, jobs, builder=builder, push_to=push_to)


async def make_images(
    session: Session, jobs: "Iterable[Job]", *, builder: str | None, push_to: str | None
) -> "tuple[BuiltImage, ...]":
    """Build the images of these jobs that are not there yet, and deliver them.

    Raises BuildError, RegistryError.
    """
    from reconciler.images.builder import find_builder
    from reconciler.images.builds import make

    def found() -> "Builder":
        return find_builder(builder, session.context.emit)

    async with _places(session, push_to) as places:
        return tuple([await make(places.built, found, job, places.deliver) for job in jobs])


async def look_up(session: Session, spec: Spec, policy: ImagePolicy, *, selection: Selection = WHOLE) -> LookedUp:
    """Return the spec with what its images' tags name now.

    Built images have the tags of their contents as they are now. Raises RegistryError, BuildError.
    """
    if policy.mode is Resolve.NEVER and not policy.builds:
        return LookedUp(spec=spec)
    named, jobs = await with_known_contents(session, spec, policy, selection=selection)
    if policy.mode is Resolve.NEVER:
        return LookedUp(spec=named, jobs=jobs)
    from reconciler.errors import RegistryError
    from reconciler.images.registry import resolve_images

    pools = [pool for pool in spec.pools if selection.needs(pool)]
    images = {one.config.image for one in pools if one.config.image and not one.build and not one.has_resolved_image}
    async with _places(session, policy.push_to) as places:
        try:
            resolved = await resolve_images(places.named, images, policy.mode)
        except RegistryError as error:
            error.at = next((pool.image_at for pool in pools if pool.config.image == error.image), None)
            raise
        built, unsure = await _look_up_builds(places.built, jobs, policy.mode)
    digests = {**resolved.digests, **built}
    session.context.pushed.add(digests.values())
    spec = with_digests(named, digests)
    return LookedUp(spec=spec, digests=digests, jobs=jobs, unsure=unsure, warnings=resolved.warnings)


async def with_known_contents(
    session: Session, spec: Spec, policy: ImagePolicy, *, selection: Selection = WHOLE
) -> "tuple[Spec, tuple[Job, ...]]":
    """Return the spec with its built images named by their contents, and all builds.

    If the local engine runs commands on the host no image is used, so the spec stays as it is. Raises BuildError.
    """
    is_unused = session.target.runs_on_host and not policy.push_to
    if is_unused and policy.builds:
        session.context.emit("the local target runs commands on the host: no image is built for it")
    if is_unused or not any(pool.build for pool in spec.pools):
        return spec, ()
    from reconciler.images.builds import jobs_of

    jobs = await asyncio.to_thread(jobs_of, spec, directory_of(spec), selection=selection)
    contents = {place: job.content.tagged for place, job in jobs.items()}
    return with_contents(spec, contents), _unlike(jobs.values())


def _unlike(jobs: "Iterable[Job]") -> "tuple[Job, ...]":
    return tuple({job.content.tagged: job for job in jobs}.values())


async def _look_up_builds(
    images: "Images", jobs: "Iterable[Job]", mode: Resolve
) -> "tuple[dict[str, str], dict[str, RegistryError]]":
    """Return the digests of those that are built, and why it is not known of others."""
    from reconciler.errors import RegistryError
    from reconciler.images.builds import find_built

    digests: dict[str, str] = {}
    unsure: dict[str, RegistryError] = {}
    for job in jobs:
        try:
            digest = await find_built(images, job)
        except RegistryError as error:
            if mode is Resolve.ALWAYS:
                raise
            unsure[job.content.tagged] = error
            continue
        if digest:
            digests[job.content.tagged] = digest
    return digests, unsure


class _Places(Struct, frozen=True, kw_only=True):
    """Where images are looked up, and how built images are delivered.

    `named` is for images that the spec names, `built` for those that it builds.
    """

    named: "Images"
    built: "Images"
    deliver: "Deliver"


@asynccontextmanager
async def _places(session: Session, push_to: str | None) -> AsyncIterator[_Places]:
    from reconciler.images.builds import pushing
    from reconciler.images.credentials import find_credentials
    from reconciler.images.registry import Registry
    from reconciler.images.wire import Connection
    from reconciler.machines_api.access import registry_password

    target = session.target
    token = registry_password(target.token) if target.name == "fly" and target.token else None

    def credentials(host: str, name: str) -> "Credentials | None":
        found = find_credentials(host, name, session.environment, fly_token=token)
        if found:
            session.learn(found.password.reveal())
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

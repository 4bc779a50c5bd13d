"""Find the digests of a spec's images: what their tags name now.

That is what the registries answer. Images are built only if that is asked for.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.image import Resolve
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Spec
from reconciler.operations.load import directory_of
from reconciler.operations.session import Session

if TYPE_CHECKING:
    from reconciler.images.builder import Builder
    from reconciler.images.builds import BuiltImage, Deliver
    from reconciler.images.credentials import Credentials
    from reconciler.images.registry import Images
    from reconciler.targets import Target

_RESOLVE: Final = "RECONCILER_RESOLVE"
_HOW_TO_BUILD: Final = "run `reconciler build`, or apply with --build"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePolicy:
    """How images are treated. `mode` says whether tags are looked up.

    For an apply: whether images are built, by which builder, and where they are pushed.
    """

    mode: Resolve = Resolve.AUTO
    push_to: str | None = None
    must_be_built: bool = False
    builds: bool = False
    builder: str | None = None


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
    import asyncio

    from reconciler.images.builder import find_builder
    from reconciler.images.builds import jobs_of, make

    jobs = await asyncio.to_thread(jobs_of, spec, directory_of(spec), selection=selection)

    def found() -> "Builder":
        return find_builder(builder, session.context.emit)

    async with _places(session, push_to) as places:
        return tuple([await make(places.built, found, job, places.deliver) for job in jobs])


async def look_up(
    session: Session, spec: Spec, policy: ImagePolicy, *, selection: Selection = WHOLE
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Return the digest of each image by its reference, and warnings.

    A warning names what could not be looked up. Raises RegistryError, BuildError.
    """
    pools = [pool for pool in spec.pools if selection.needs(pool)]
    images = {pool.config.image for pool in pools if pool.config.image and not pool.build}
    digests: dict[str, str] = {}
    if policy.builds and session.target.runs_on_host and not policy.push_to:
        session.context.emit("the local target runs commands on the host: no image is built for it")
    elif policy.builds:
        built = await build_images(session, spec, selection=selection, builder=policy.builder, push_to=policy.push_to)
        digests = {one.image: one.digest for one in built}
        session.context.pushed.add(digests.values())
    if policy.mode is Resolve.NEVER:
        return digests, ()
    from reconciler.images.registry import resolve_images

    async with _places(session, policy.push_to) as places:
        resolved = await resolve_images(places.named, images, policy.mode)
        if policy.builds or not any(pool.build for pool in pools):
            return {**digests, **resolved.digests}, resolved.warnings
        found, missing = await _look_up_builds(places.built, spec, policy, selection)
        session.context.pushed.add(found.values())
    return {**resolved.digests, **found}, (*resolved.warnings, *missing)


async def _look_up_builds(
    images: "Images", spec: Spec, policy: ImagePolicy, selection: Selection
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the digests of the images built of the contexts as they are now.

    Also return a warning for each context that was not built.
    """
    import asyncio

    from reconciler.errors import BuildError, RegistryError
    from reconciler.images.builds import find_built, jobs_of

    digests, warnings = {}, []
    for job in await asyncio.to_thread(jobs_of, spec, directory_of(spec), selection=selection):
        try:
            digest = await find_built(images, job)
        except RegistryError as error:
            if policy.mode is Resolve.ALWAYS:
                raise
            warnings.append(
                f"{error.message}; whether {job.build.context} has changed since it was applied is not known"
            )
            continue
        if digest:
            digests[job.image] = digest
            continue
        why = f"{job.build.context} is not built yet as it is now"
        if policy.must_be_built:
            raise BuildError(why, hint=_HOW_TO_BUILD)
        warnings.append(f"{why}: {_HOW_TO_BUILD}; until then its image is as it was applied")
    return digests, tuple(warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
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

"""Check the registries of the spec's images, and what builds images."""

import asyncio
import shutil
from collections.abc import Iterable
from typing import Final

from reconciler.errors import BuildError, RegistryError, RegistryErrorKind
from reconciler.images.builder import BUILDERS, find_builder
from reconciler.images.credentials import Credentials, find_credentials
from reconciler.images.registry import Registry
from reconciler.images.wire import Connection
from reconciler.machines_api.access import registry_password
from reconciler.model.counted import counted
from reconciler.model.finding import Finding, Level
from reconciler.model.image import FLY_REGISTRY, ImageReference, Resolve, parse_image
from reconciler.model.secret import Secret
from reconciler.model.spec import Spec
from reconciler.operations.doctor.setup import Setup
from reconciler.operations.images import mode_of
from reconciler.targets import Target

_HOST: Final = "the local engine runs commands on this host: no image is used"
_TEMPORARY: Final = frozenset({RegistryErrorKind.UNREACHABLE, RegistryErrorKind.NOT_A_REGISTRY})
_TRY_AGAIN: Final = "check the network and the image's name; until then tags are compared without their digests"
_AT_ONCE: Final = 8


async def check_registry(setup: Setup) -> tuple[Finding, ...]:
    """Check that images can be read, and pushed where the spec builds them."""
    if setup.runs_on_host:
        return (Finding(level=Level.SKIP, text=_HOST),)
    spec = setup.spec if isinstance(setup.spec, Spec) else None
    pools = spec.pools if spec else ()
    named = {pool.config.image for pool in pools if pool.config.image and not pool.build}
    pushed = {pool.build_image for pool in pools if pool.build_image}
    if not named and not pushed and (not setup.is_fly or setup.session is None):
        return (Finding(level=Level.SKIP, text="no image to look for"),)
    try:
        mode = _mode(setup)
    except ValueError as error:
        return (Finding(level=Level.FAIL, text=str(error), mend="unset RECONCILER_RESOLVE, or correct it"),)
    if mode is Resolve.NEVER:
        return (Finding(level=Level.SKIP, text="tags are not looked up: RECONCILER_RESOLVE is never"),)
    if not named and not pushed:
        pushed = {f"{FLY_REGISTRY}/any:tag"}
    read, written = ([parse_image(image) for image in sorted(images)] for images in (named, pushed))
    known = await _credentials(setup, [*read, *written])
    async with Connection() as connection:
        registry = Registry(connection, lambda host, name: known.get((host, name)))
        limit = asyncio.Semaphore(_AT_ONCE)

        async def look(image: ImageReference, *, is_pushed: bool) -> RegistryError | None:
            async with limit:
                try:
                    await (registry.check_login(image) if is_pushed else registry.resolve(image))
                except RegistryError as error:
                    return error
            return None

        errors = await asyncio.gather(
            *(look(image, is_pushed=False) for image in read), *(look(image, is_pushed=True) for image in written)
        )
    answers = [*zip([*read, *written], errors, strict=True)]
    problems = (_finding(setup, image, error, is_pushed=image in written) for image, error in answers if error)
    return (*_found(answers, written), *problems)


def _mode(setup: Setup) -> Resolve:
    if isinstance(setup.target, Target):
        return mode_of(None, setup.environment, setup.target)
    return Resolve.AUTO


async def _credentials(setup: Setup, images: Iterable[ImageReference]) -> dict[tuple[str, str], Credentials | None]:
    """Return what each repository is asked with. A helper may take its time."""
    target = setup.target if isinstance(setup.target, Target) else None
    token: Secret | None = registry_password(target.token) if setup.is_fly and target and target.token else None
    places = {(image.registry, image.repository) for image in images}

    def find() -> dict[tuple[str, str], Credentials | None]:
        return {place: find_credentials(*place, setup.environment, fly_token=token) for place in places}

    found = await asyncio.to_thread(find)
    for one in found.values():
        if one and setup.session:
            setup.session.learn(one.password.reveal())
    return found


def _found(
    answers: list[tuple[ImageReference, RegistryError | None]], written: list[ImageReference]
) -> Iterable[Finding]:
    """Yield a line for each registry that has answered well."""
    counts: dict[str, list[int]] = {}
    for image, error in answers:
        if error is None:
            counts.setdefault(image.registry, [0, 0])[image in written] += 1
    for registry, (read, pushed) in counts.items():
        parts = [f"{counted(read, 'image')} found"] if read else []
        parts += ["the login works"] if pushed else []
        yield Finding(level=Level.OK, text=f"{registry}: {', '.join(parts)}", facts={"registry": registry})


def _finding(setup: Setup, image: ImageReference, error: RegistryError, *, is_pushed: bool) -> Finding:
    is_mild = setup.is_local or error.kind in _TEMPORARY
    text = error.message
    if is_pushed and text.startswith("image "):
        text = f"registry {image.registry}: {text.removeprefix(f'image {image.tagged}: ')}"
    return Finding(level=Level.WARN if is_mild else Level.FAIL, text=text, mend=error.hint or _TRY_AGAIN)


async def check_builder(setup: Setup) -> tuple[Finding, ...]:
    """Check that something builds images, if the spec has any to build."""
    builds = isinstance(setup.spec, Spec) and any(pool.build for pool in setup.spec.pools)
    if setup.runs_on_host:
        return (Finding(level=Level.SKIP, text=_HOST),)
    try:
        builder = await asyncio.to_thread(find_builder, None, _say_nothing)
    except BuildError as error:
        level = Level.FAIL if builds else Level.SKIP
        text = error.message if builds else f"{error.message}, and the spec builds no image"
        return (Finding(level=level, text=text, mend=_mend(error) if builds else None),)
    text = f"{builder.name} answers" if builder.name == "docker" else f"{builder.name} is here"
    return (Finding(level=Level.OK, text=f"{text} ({builder.program})", facts={"builder": builder.name}),)


def _mend(error: BuildError) -> str | None:
    installed = next((name for name in BUILDERS if shutil.which(name)), None)
    return f"{installed} is installed and does not answer: start it" if installed else error.hint


def _say_nothing(_line: str) -> None:
    return

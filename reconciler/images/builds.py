"""Build and deliver the images of a spec that are not yet in their registry.

The tag is made of the digest of the build's content, so that the same content is built only once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from reconciler.errors import BuildError, RegistryError, RegistryErrorKind
from reconciler.images.builder import Builder
from reconciler.images.context import context_of, context_tag, dockerfile_of
from reconciler.images.credentials import Credentials
from reconciler.images.registry import Images
from reconciler.model.image import ImageReference, parse_image
from reconciler.model.selection import WHOLE, Selection
from reconciler.model.spec import Build, Pool, Spec


class Job(Struct, frozen=True, kw_only=True):
    """One image to build, of a pool of this app.

    `content` is its name in configs, with the tag of its content; `image` is a name that stays.
    """

    app: str
    image: str
    content: ImageReference
    build: Build
    base: Path


class BuiltImage(Struct, frozen=True, kw_only=True):
    """An image in its registry, by two names.

    `content` has the tag of its content and is its name in configs, `image` stays the same. `was_there` is true if the
    image did not have to be built.
    """

    image: str
    content: str
    digest: str
    was_there: bool


def jobs_of(spec: Spec, base: Path, *, selection: Selection = WHOLE) -> dict[tuple[str, str], Job]:
    """Return the builds of the pools that have a slot in the selection.

    Reads every file of their contexts. Pools with the same content share a job. Raises BuildError.
    """
    tags: list[tuple[Build, str]] = []
    jobs: dict[tuple[str, str], Job] = {}
    for pool in spec.pools:
        if pool.build is None or not selection.needs(pool):
            continue
        tag = next((tag for build, tag in tags if build == pool.build), None)
        if tag is None:
            tag = context_tag(pool.build, base)
            tags.append((pool.build, tag))
        image = pool.build_image or ""
        content = replace(parse_image(image), tag=tag)
        known = (job for job in jobs.values() if job.content == content)
        job = next(known, None) or Job(app=pool.app, image=image, content=content, build=pool.build, base=base)
        jobs[pool.app, pool.name] = job
    return jobs


def with_push_to(spec: Spec, prefix: str) -> Spec:
    """Return the spec with its built images under this registry or path, not Fly's.

    Raises BuildError.
    """

    def moved(pool: Pool) -> Pool:
        if pool.build is None:
            return pool
        name = (pool.build_image or "").rpartition("/")[2]
        image = f"{prefix.rstrip('/')}/{name}"
        try:
            parse_image(image)
        except ValueError as error:
            raise BuildError(f"--push-to {prefix}: {error}", hint="write it like ghcr.io/owner") from error
        config = replace(pool.config, document={**pool.config.document, "image": image})
        return replace(pool, config=config, build_image=image)

    apps = tuple(replace(app, pools=tuple(moved(pool) for pool in app.pools)) for app in spec.apps)
    return replace(spec, apps=apps)


async def find_built(images: Images, job: Job) -> str | None:
    """Return the digest of the built content; None if it is not built.

    Raises RegistryError.
    """
    try:
        return (await images.resolve(job.content)).digest
    except RegistryError as error:
        if error.kind is RegistryErrorKind.NOT_FOUND:
            return None
        raise


Deliver: TypeAlias = Callable[[Builder, Job], Awaitable[None]]
"""Delivers a built image, under both its names, to its registry. Raises BuildError."""


async def make(images: Images, find_builder: Callable[[], Builder], job: Job, deliver: Deliver) -> BuiltImage:
    """Build and deliver the image unless it exists. Raises BuildError, RegistryError."""
    if digest := await _found_or_none(images, job):
        return BuiltImage(image=job.image, content=job.content.tagged, digest=digest, was_there=True)
    builder = find_builder()
    context = context_of(job.build, job.base).resolve()
    dockerfile = dockerfile_of(job.build, job.base).resolve()
    await builder.build(job.build, job.content.tagged, context=context, dockerfile=dockerfile)
    await builder.tag(job.content.tagged, parse_image(job.image).tagged)
    await deliver(builder, job)
    digest = (await images.resolve(job.content)).digest
    return BuiltImage(image=job.image, content=job.content.tagged, digest=digest, was_there=False)


def pushing(credentials: Callable[[str, str], Credentials | None]) -> Deliver:
    """Return the delivery that pushes to the registry in the image's name."""

    async def push(builder: Builder, job: Job) -> None:
        found = await asyncio.to_thread(credentials, job.content.registry, job.content.repository)
        # The content's tag last: it shows that the image is complete.
        for image in (parse_image(job.image), job.content):
            await builder.push(image, found)

    return push


async def _found_or_none(images: Images, job: Job) -> str | None:
    """Return the digest if the content is built, else None.

    A registry may deny reading before the first push: then the push shows whether we have access.
    """
    try:
        return await find_built(images, job)
    except RegistryError as error:
        if error.kind is RegistryErrorKind.DENIED:
            return None
        raise

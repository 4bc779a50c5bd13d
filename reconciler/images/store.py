"""Use the images in a container engine's own store, without a registry.

The local engine runs them from there. Such an image has no registry digest: its id, the digest of its configuration, is
used instead.
"""

import tempfile
from pathlib import Path
from typing import Final

from reconciler.containers.client import ContainerEngine
from reconciler.containers.errors import ContainerError
from reconciler.errors import BuildError, RegistryError, RegistryErrorKind
from reconciler.images.builder import Builder
from reconciler.images.builds import Job
from reconciler.images.registry import Registry, ResolvedImage
from reconciler.model.image import ImageReference

_DOES_IT_RUN: Final = "does it run? `docker version` or `podman version` tells"


class Store:
    """The images of one container engine, used like a registry."""

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine

    async def resolve(self, image: ImageReference) -> ResolvedImage:
        """Return the image in the engine. Raises RegistryError."""
        try:
            found = await self._engine.image(image.tagged)
        except ContainerError as error:
            kind = RegistryErrorKind.UNREACHABLE
            raise RegistryError(f"image {image.tagged}: {error}", kind=kind, hint=_DOES_IT_RUN) from error
        if found is None:
            why = f"image {image.tagged}: the container engine does not have it"
            raise RegistryError(why, kind=RegistryErrorKind.NOT_FOUND, hint="`reconciler build`, or pull it, first")
        return ResolvedImage(digest=found.id, size_bytes=0)

    async def deliver(self, builder: Builder, job: Job) -> None:
        """Load a built image into the engine, unless it is there. Raises BuildError."""
        try:
            if await self._engine.image(job.content.tagged):
                return
            with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
                archive = Path(folder) / "image.tar"
                await builder.save(job.content.tagged, archive)
                await self._engine.load(archive)
        except ContainerError as error:
            why = f"the image cannot be loaded into the container engine: {error}"
            raise BuildError(why, hint=_DOES_IT_RUN) from error


class RegistryThenStore:
    """Resolve images by their registry, else by the container engine's store."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    async def resolve(self, image: ImageReference) -> ResolvedImage:
        """Return the image. Raises the registry's RegistryError if neither has it."""
        try:
            return await self._registry.resolve(image)
        except RegistryError as error:
            if error.kind is RegistryErrorKind.UNSUITABLE:
                raise
            try:
                return await self._store.resolve(image)
            except RegistryError:
                raise error from None

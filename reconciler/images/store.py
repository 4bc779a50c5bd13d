"""The images that a container engine has by itself, where the local engine runs them from: no registry is needed.

Such an image has no digest in any registry; its own id, the digest of its configuration, takes that place.
"""

import tempfile
from pathlib import Path

from reconciler.containers.client import ContainerEngine
from reconciler.containers.errors import ContainerError
from reconciler.errors import BuildError, RegistryError, RegistryErrorKind
from reconciler.images.builder import Builder
from reconciler.images.builds import Job
from reconciler.images.registry import Registry, ResolvedImage
from reconciler.model.image import ImageReference


class Store:
    """The images of one container engine, asked for as a registry is."""

    def __init__(self, engine: ContainerEngine) -> None:
        self._engine = engine

    async def resolve(self, image: ImageReference) -> ResolvedImage:
        """The image as the engine has it now. Raises RegistryError."""
        try:
            found = await self._engine.image(image.tagged)
        except ContainerError as error:
            raise RegistryError(f"image {image.tagged}: {error}", kind=RegistryErrorKind.UNREACHABLE) from error
        if found is None:
            why = f"image {image.tagged}: the container engine does not have it"
            raise RegistryError(why, kind=RegistryErrorKind.NOT_FOUND)
        return ResolvedImage(digest=found.id, size_bytes=0)

    async def deliver(self, builder: Builder, job: Job) -> None:
        """Brings what was built to the engine, unless the builder builds there. Raises BuildError."""
        try:
            if await self._engine.image(job.content.tagged):
                return
            with tempfile.TemporaryDirectory(prefix="reconciler-") as folder:
                archive = Path(folder) / "image.tar"
                await builder.save(job.content.tagged, archive)
                await self._engine.load(archive)
        except ContainerError as error:
            raise BuildError(f"the image does not get to the container engine: {error}") from error


class RegistryThenStore:
    """What a registry says of an image; what the engine has, where no registry tells."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store

    async def resolve(self, image: ImageReference) -> ResolvedImage:
        """The image. Raises RegistryError: the registry's."""
        try:
            return await self._registry.resolve(image)
        except RegistryError as error:
            if error.kind is RegistryErrorKind.UNSUITABLE:
                raise
            try:
                return await self._store.resolve(image)
            except RegistryError:
                raise error from None

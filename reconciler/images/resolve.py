"""The digests of a spec's images: each tag looked up once, all of them side by side."""

import asyncio
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from reconciler.errors import RegistryError
from reconciler.images.builds import Images
from reconciler.model.image import parse_image

_AT_ONCE: Final = 8


class Resolve(enum.Enum):
    """Whether tags are looked up: always, or as far as their registries answer, or not at all."""

    ALWAYS = "always"
    AUTO = "auto"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The digest of each image that was looked up, by its reference as it is written, and why others were not."""

    digests: dict[str, str]
    warnings: tuple[str, ...] = ()


async def resolve_images(where: Images, images: Iterable[str], mode: Resolve) -> Resolved:
    """What the images' tags name now. Raises RegistryError: for an image that is not there or will not run, and with
    ALWAYS for one that cannot be looked up.
    """
    if mode is Resolve.NEVER:
        return Resolved(digests={})
    limit = asyncio.Semaphore(_AT_ONCE)

    async def look_up(image: str) -> str | RegistryError:
        async with limit:
            try:
                return (await where.resolve(parse_image(image))).digest
            except RegistryError as error:
                return error

    names = sorted(set(images))
    found = dict(zip(names, await asyncio.gather(*(look_up(name) for name in names)), strict=True))
    errors = {name: one for name, one in found.items() if isinstance(one, RegistryError)}
    for error in errors.values():
        if error.is_final or mode is Resolve.ALWAYS:
            raise error
    return Resolved(
        digests={name: one for name, one in found.items() if isinstance(one, str)},
        warnings=tuple(f"{error.message}; its tag is compared, and not what it names" for error in errors.values()),
    )

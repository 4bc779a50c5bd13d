"""Resolve image tags to digests, by the OCI distribution API of their registries.

A digest is computed from the bytes received, never taken from a header. Credentials are sent only to their registry and
to the token server that it names, never to a host that a reply redirects to.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from reconciler.errors import RegistryError, RegistryErrorKind
from reconciler.images.credentials import Credentials
from reconciler.images.login import Login
from reconciler.images.wire import Answer, Connection
from reconciler.model.image import DOCKER_HUB, FLY_REGISTRY, ImageReference, Resolve, parse_image

PLATFORM: Final = ("linux", "amd64")  # what Fly Machines run
# Fly's documented limit is 8 GB unpacked. A registry reports only packed sizes, which are smaller.
LIMIT_BYTES: Final = 8 * 10**9
_HUB_HOST: Final = "registry-1.docker.io"
_MAX_MANIFEST: Final = 4 * 1024 * 1024  # what the OCI specification asks registries to accept
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT: Final = ", ".join((*_INDEXES, *_MANIFESTS))
_AT_ONCE: Final = 8

_HOW_TO_SUIT: Final = "build it for that one: `DOCKER_DEFAULT_PLATFORM=linux/amd64 docker build .`"
_LATER: Final = "try again in a moment; RECONCILER_RESOLVE=never compares tags alone"
_IS_IT_ONE: Final = "does the image's name begin with the host of a registry?"

K = RegistryErrorKind


class ResolvedImage(Struct, frozen=True, kw_only=True):
    """The image that a reference names for our platform.

    `digest` is that of the manifest; `size_bytes` is the size of its packed layers.
    """

    digest: str
    size_bytes: int


class Images(Protocol):
    """A place that has images: a registry, or a container engine's store."""

    async def resolve(self, image: ImageReference) -> ResolvedImage:
        """Return the image that a reference names. Raises RegistryError."""
        ...


class Resolved(Struct, frozen=True, kw_only=True):
    """The digests of images by their reference in the spec, and why others have none."""

    digests: dict[str, str]
    warnings: tuple[str, ...] = ()


class Registry:
    """A client of registries. Use one for each process, as it caches authorizations."""

    def __init__(self, connection: Connection, credentials: Callable[[str, str], Credentials | None]) -> None:
        self._connection = connection
        self._login = Login(connection, credentials)

    async def resolve(self, image: ImageReference) -> ResolvedImage:
        """Return the image for linux/amd64. Raises RegistryError."""
        wanted = image.digest or image.tag
        assert wanted is not None
        answer = await self._get(image, f"manifests/{wanted}", accept=_ACCEPT)
        digest = _digest_of(answer.content)
        if image.digest and image.digest.startswith("sha256:") and image.digest != digest:
            raise _error(image, K.NOT_A_REGISTRY, "the registry sent content with another digest")
        manifest = _parsed(image, answer)
        if _is_index(manifest):
            digest = _for_platform(image, manifest)
            answer = await self._get(image, f"manifests/{digest}", accept=_ACCEPT)
            if _digest_of(answer.content) != digest:
                raise _error(
                    image, K.NOT_A_REGISTRY, "the registry sent a manifest with another digest than in its index"
                )
            manifest = _parsed(image, answer)
        else:
            await self._check_platform(image, manifest)
        size_bytes = _size_of(image, manifest)
        if size_bytes > LIMIT_BYTES:
            gigabytes = size_bytes / 10**9
            why = f"it is {gigabytes:.1f} GB packed, and the platform takes 8 GB unpacked"
            raise _error(image, K.UNSUITABLE, why, hint="make it smaller: a smaller base image, several stages")
        return ResolvedImage(digest=digest, size_bytes=size_bytes)

    async def check_login(self, image: ImageReference) -> None:
        """Check that the image's registry answers and lets us in. Raises RegistryError."""
        await self._get(image, "/v2/", accept="*/*")

    async def _check_platform(self, image: ImageReference, manifest: Mapping[str, Any]) -> None:
        """Check the platform of an image that is for one platform: its config names it."""
        config = manifest.get("config")
        digest = config.get("digest") if isinstance(config, dict) else None
        if not isinstance(digest, str) or not digest.startswith("sha256:"):
            raise _error(image, K.UNSUITABLE, "the platform does not support its kind of manifest")
        about = _parsed(image, await self._get(image, f"blobs/{digest}", accept="*/*"))
        found = (about.get("os"), about.get("architecture"))
        if found != PLATFORM:
            what = "/".join(str(one) for one in found if one) or "no platform"
            why = f"it is for {what}, and the platform runs {'/'.join(PLATFORM)}"
            raise _error(image, K.UNSUITABLE, why, hint=_HOW_TO_SUIT)

    async def _get(self, image: ImageReference, path: str, *, accept: str) -> Answer:
        host = _HUB_HOST if image.registry == DOCKER_HUB else image.registry
        path = path if path.startswith("/") else f"/v2/{image.repository}/{path}"
        url = f"{_scheme(host)}://{host}{path}"
        authorization = self._login.known(image)
        answer = await self._connection.get(url, accept=accept, authorization=authorization, limit=_MAX_MANIFEST)
        if answer.status == 401:
            authorization = await self._login.answer(image, answer.challenges, is_second=authorization is not None)
            answer = await self._connection.get(url, accept=accept, authorization=authorization, limit=_MAX_MANIFEST)
        if answer.status == 200:
            return answer
        raise _refused(image, answer)


async def resolve_images(where: Images, images: Iterable[str], mode: Resolve) -> Resolved:
    """Resolve the tags of images, concurrently.

    Raises RegistryError for an image that does not exist or cannot run, and with ALWAYS for one that cannot be
    resolved.
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
    for name, error in errors.items():
        error.image = name
        if error.is_final or mode is Resolve.ALWAYS:
            raise error
    return Resolved(
        digests={name: one for name, one in found.items() if isinstance(one, str)},
        warnings=tuple(f"{error.message}; comparing its tag, not its digest" for error in errors.values()),
    )


def _refused(image: ImageReference, answer: Answer) -> RegistryError:
    if answer.status in {401, 403}:
        hint = f"log in to it with `docker login {image.registry}`"
        if image.registry == FLY_REGISTRY:
            app = image.repository.partition("/")[0]
            hint = f"the token must reach the app {app}: set FLY_API_TOKEN to the output of `fly tokens create deploy"
            hint += f" -a {app}`"
        return _error(image, K.DENIED, "the registry does not let us read it", hint=hint)
    if answer.status == 404:
        return _error(image, K.NOT_FOUND, "there is no such image", hint=_how_to_push(image))
    if answer.status == 429:
        return _error(image, K.UNREACHABLE, "the registry's rate limit is reached", hint="log in to it, or try later")
    if answer.status >= 500:
        return _error(image, K.UNREACHABLE, f"the registry answered {answer.status}", hint=_LATER)
    return _error(image, K.NOT_A_REGISTRY, f"the registry answered {answer.status}", hint=_IS_IT_ONE)


def _how_to_push(image: ImageReference) -> str:
    """Say how the image gets into its registry."""
    login = "`fly auth docker`, then " if image.registry == FLY_REGISTRY else ""
    return f"check name and tag; to push it: {login}`docker push {image.tagged}`; `build: .` has it built and pushed"


def _scheme(host: str) -> str:
    """Return the URL scheme: plain HTTP only for this machine itself."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return "http" if name in {"localhost", "[::1]"} or name.startswith("127.") else "https"


def _digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _parsed(image: ImageReference, answer: Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _error(image, K.NOT_A_REGISTRY, "the answer is no manifest", hint=_IS_IT_ONE)
    return value


def _is_index(manifest: Mapping[str, Any]) -> bool:
    return manifest.get("mediaType") in _INDEXES or isinstance(manifest.get("manifests"), list)


def _for_platform(image: ImageReference, index: Mapping[str, Any]) -> str:
    """Return the digest of the first manifest for our platform, as clients choose it."""
    there = []
    for one in index.get("manifests") or []:
        platform = one.get("platform") if isinstance(one, dict) else None
        if not isinstance(platform, dict) or one.get("mediaType", _MANIFESTS[0]) not in _MANIFESTS:
            continue
        name = (platform.get("os"), platform.get("architecture"))
        digest = one.get("digest")
        if name == PLATFORM and isinstance(digest, str) and digest.startswith("sha256:"):
            return digest
        there.append("/".join(str(part) for part in name))
    known = f"only for {', '.join(sorted(set(there))[:5])}" if there else "for no platform at all"
    why = f"it is {known}, and the platform runs {'/'.join(PLATFORM)}"
    raise _error(image, K.UNSUITABLE, why, hint=_HOW_TO_SUIT)


def _size_of(image: ImageReference, manifest: Mapping[str, Any]) -> int:
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise _error(image, K.UNSUITABLE, "the platform does not support its kind of manifest")
    sizes = [layer.get("size") for layer in layers]
    return sum(size for size in sizes if isinstance(size, int) and size > 0)


def _error(image: ImageReference, kind: RegistryErrorKind, why: str, *, hint: str | None = None) -> RegistryError:
    shown = image.pinned(image.digest) if image.digest else image.tagged
    return RegistryError(f"image {shown}: {why}", kind=kind, hint=hint)

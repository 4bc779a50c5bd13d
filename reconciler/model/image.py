"""Image references, by the rules of the OCI distribution and of Docker. Pure.

Also: whether their tags are looked up.
"""

import enum
import re
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

DOCKER_HUB: Final = "docker.io"
FLY_REGISTRY: Final = "registry.fly.io"
_LIBRARY: Final = "library"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = rf"{_PART}(?:/{_PART})*"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::\d{{1,5}})?"
_TAG: Final = r"(?a)\w[\w.-]{0,127}"
_DIGEST: Final = r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}"
_LONGEST_REPOSITORY: Final = 255
_KEPT: Final = 1024  # references, parsed: many machines have the same one, and each is asked for it several times
CONTENT_TAG: Final = "ctx-"  # begins the tag of an image that a spec builds; the digest of its content follows
_CONTENT_TAG: Final = rf"{CONTENT_TAG}[0-9a-f]{{32}}"


class Resolve(enum.StrEnum):
    """Look up what tags name now: always, if the registry answers, or never."""

    ALWAYS = "always"
    AUTO = "auto"
    NEVER = "never"


class ImageReference(Struct, frozen=True, kw_only=True):
    """Where an image is.

    `registry` and `repository` are complete, also if a short name was written. `tag` is None only beside a digest;
    `name` is registry and repository as they were written.
    """

    registry: str
    repository: str
    tag: str | None
    digest: str | None
    name: str

    @property
    def tagged(self) -> str:
        """Return the reference as it was written, without the digest."""
        return self.name if self.tag is None else f"{self.name}:{self.tag}"

    @property
    def is_content(self) -> bool:
        """Return whether the tag is the digest of what the image was built of."""
        return bool(self.tag and self.tag.startswith(CONTENT_TAG) and re.fullmatch(_CONTENT_TAG, self.tag))

    @property
    def identity(self) -> str | None:
        """Return what tells it from other images; None if it has only a tag.

        A tag may move. The identity is the digest, whatever the tag says. For an image that a spec builds it is the tag
        of its content, which is known before the build.
        """
        place = f"{self.registry}/{self.repository}"
        if self.is_content:
            return f"{place}:{self.tag}"
        return f"{place}@{self.digest}" if self.digest else None

    def pinned(self, digest: str) -> str:
        """Return the reference as it was written, with this digest."""
        return f"{self.tagged}@{digest}"

    def resolved(self, found: str) -> str:
        """Return the reference with what was found for its tag.

        That is a digest; of an image that a spec builds it is the content's tag, with the digest once it is built.
        """
        return f"{self.name}:{found}" if found.startswith(CONTENT_TAG) else self.pinned(found)

    @property
    def resolution(self) -> str | None:
        """Return what `resolved` was given; None if there is only a tag that may move."""
        if not self.is_content:
            return self.digest
        return f"{self.tag}@{self.digest}" if self.digest else self.tag

    def is_in(self, other: "ImageReference") -> bool:
        """Return whether both are in one repository."""
        return (self.registry, self.repository) == (other.registry, other.repository)

    def is_same_tag(self, other: "ImageReference") -> bool:
        """Return whether both name one tag of one repository, whatever their digests."""
        mine, theirs = (replace(one, digest=None, name="") for one in (self, other))
        return mine == theirs


def reference(image: object) -> ImageReference | None:
    """Parse the reference; None if it is none, as on machines that others made."""
    try:
        return parse_image(image) if isinstance(image, str) and image else None
    except ValueError:
        return None


def is_same_image(one: object, other: object) -> bool:
    """Return whether two references name one image, by its content or by its digest."""
    first, second = reference(one), reference(other)
    if first is None or second is None:
        return False
    if first.identity and first.identity == second.identity:
        return True
    return bool(first.digest) and first.digest == second.digest and first.is_in(second)


@lru_cache(maxsize=_KEPT)
def parse_image(text: str) -> ImageReference:
    """Parse an image reference. Raises ValueError, in words, if it is none."""
    rest, _, digest = text.partition("@")
    if "@" in text and not re.fullmatch(_DIGEST, digest):
        raise ValueError(f"{digest!r} is not a digest such as sha256: and 64 hexadecimal digits")
    head, slash, tail = rest.partition("/")
    has_registry = bool(slash) and (any(one in head for one in ".:[") or head == "localhost" or head != head.lower())
    path, colon, tag = (tail if has_registry else rest).partition(":")
    if has_registry and not re.fullmatch(_HOST, head):
        raise ValueError(f"{head!r} is not the host of a registry")
    if not re.fullmatch(_REPOSITORY, path) or len(path) > _LONGEST_REPOSITORY:
        why = "names are in lower case" if path != path.lower() else "expected names with / between them"
        raise ValueError(f"{path!r} is not the name of an image: {why}")
    if colon and not re.fullmatch(_TAG, tag):
        raise ValueError(f"{tag!r} is not a tag")
    repository = path
    if (not has_registry or head == DOCKER_HUB) and "/" not in path:
        repository = f"{_LIBRARY}/{path}"
    return ImageReference(
        registry=head if has_registry else DOCKER_HUB,
        repository=repository,
        tag=tag if colon else None if digest else "latest",
        digest=digest or None,
        name=f"{head}/{path}" if has_registry else path,
    )

"""Image references, by the rules of the OCI distribution and of Docker. Pure.

Also: whether their tags are looked up.
"""

import enum
import re
from dataclasses import dataclass, replace
from typing import Final

DOCKER_HUB: Final = "docker.io"
FLY_REGISTRY: Final = "registry.fly.io"
_LIBRARY: Final = "library"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_PART}(?:/{_PART})*")
_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?"
)
_TAG: Final = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST_REPOSITORY: Final = 255


class Resolve(enum.StrEnum):
    """Look up what tags name now: always, if the registry answers, or never."""

    ALWAYS = "always"
    AUTO = "auto"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
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

    def pinned(self, digest: str) -> str:
        """Return the reference as it was written, with this digest."""
        return f"{self.tagged}@{digest}"

    def is_same_tag(self, other: "ImageReference") -> bool:
        """Return whether both name one tag of one repository, whatever their digests."""
        mine, theirs = (replace(one, digest=None, name="") for one in (self, other))
        return mine == theirs


def parse_image(text: str) -> ImageReference:
    """Parse an image reference. Raises ValueError, in words, if it is none."""
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is not a digest such as sha256: and 64 hexadecimal digits")
    head, slash, tail = rest.partition("/")
    has_registry = bool(slash) and (any(one in head for one in ".:[") or head == "localhost" or head != head.lower())
    path, colon, tag = (tail if has_registry else rest).partition(":")
    if has_registry and not _HOST.fullmatch(head):
        raise ValueError(f"{head!r} is not the host of a registry")
    if not _REPOSITORY.fullmatch(path) or len(path) > _LONGEST_REPOSITORY:
        why = "names are in lower case" if path != path.lower() else "expected names with / between them"
        raise ValueError(f"{path!r} is not the name of an image: {why}")
    if colon and not _TAG.fullmatch(tag):
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

"""Split the name of an image into the parts that the API reports, and join them."""

import hashlib
from typing import Any, Final

_MIRROR: Final = "docker-hub-mirror.fly.io"
_LIBRARY: Final = "library/"
_LATEST: Final = ":latest"


def image_ref(config: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of the image reference, as the API spells them.

    Where it names no digest, one is made of the reference: nothing is pulled to find the real one.
    """
    image = str(config.get("image") or "")
    name, _, digest = image.partition("@")
    head, slash, rest = name.partition("/")
    has_registry = bool(slash) and ("." in head or ":" in head or head == "localhost")
    registry, repository = (head, rest) if has_registry else (_MIRROR, name)
    repository, _, tag = repository.partition(":")
    if not has_registry and "/" not in repository:
        repository = f"{_LIBRARY}{repository}"
    return {
        "registry": registry,
        "repository": repository,
        "tag": tag or "latest",
        "digest": digest or _made_digest(image),
        "labels": {},
    }


def name_to_pull(image: str) -> str:
    """Return the name under which a registry knows the image.

    A client that makes a second machine of a first one's parts names a mirror that only the platform reaches, and maybe
    a digest that `image_ref` has made: then it is the name that this was made of.
    """
    name, _, digest = image.partition("@")
    plain = name.removeprefix(f"{_MIRROR}/")
    written = (name, plain, plain.removeprefix(_LIBRARY))
    candidates = (short for one in written for short in (one, one.removesuffix(_LATEST)))
    made_of = next((one for one in candidates if digest and _made_digest(one) == digest), image)
    return made_of.removeprefix(f"{_MIRROR}/")


def _made_digest(image: str) -> str:
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"

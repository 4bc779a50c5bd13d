"""Digests of configs: what was applied, section by section, and what is live.

A digest of a desired config starts with the number of its scheme. Scheme 1 had each image as it is sent. Scheme 2 has
the identity of the image in its place: then a tag that moves to another name of the same image changes nothing. A
config whose image has none, as only its tag is known, is the same in both, and its digest has the number 1.
"""

import hashlib
import json
from typing import Any, Final

from reconciler.canonical.normalize import canonical
from reconciler.model.config import MachineConfig
from reconciler.model.image import is_same_image, reference

SCHEME: Final = "2"
FIRST_SCHEME: Final = "1"
_FIELDS_LIMIT: Final = 200
_DIGITS: Final = 20
_SHORT_DIGITS: Final = 4


def digest_of(config: MachineConfig) -> str:
    """Return the digest of a desired config, `SCHEME:hex`: the mark `applied`."""
    image = None if "containers" in config.document else reference(config.image)
    scheme = SCHEME if image and image.identity else FIRST_SCHEME
    return f"{scheme}:{_hash(canonical(config))[:_DIGITS]}"


def is_digest_of(digest: str | None, config: MachineConfig, *, live: MachineConfig | None = None) -> bool:
    """Return whether the digest is of this desired config.

    It may be one of the first scheme. That has the image as it was sent: as it is on the machine, if that is the same
    image.
    """
    if digest is None or digest == digest_of(config):
        return digest is not None
    sent = [config.image, live.image] if live and is_same_image(live.image, config.image) else [config.image]
    return digest in {f"{FIRST_SCHEME}:{_hash(_as_sent(config, image))[:_DIGITS]}" for image in sent}


def live_digest(config: MachineConfig) -> str:
    """Return the digest of a reported config, to tell whether it has changed.

    The image counts as it is reported, with its tag.
    """
    return _hash(_as_sent(config, config.image))


def section_digests(config: MachineConfig) -> str:
    """Return a short digest for each section: `image=ab12,env=34cd`.

    By them a later plan can tell whose change it sees.
    """
    parts = [f"{section}={digest}" for section, digest in sections_of(canonical(config)).items()]
    while len(",".join(parts)) > _FIELDS_LIMIT:
        parts.pop()
    return ",".join(parts)


def sections_of(document: dict[str, Any]) -> dict[str, str]:
    """Return the short digest of each section of a canonical config."""
    return {section: _hash(document[section])[:_SHORT_DIGITS] for section in sorted(document)}


def parse_fields(mark: str) -> dict[str, str]:
    """Parse the mark `fields` into a map of section to short digest."""
    pairs = (part.partition("=") for part in mark.split(",") if "=" in part)
    return {section: digest for section, _, digest in pairs}


def is_first_of_image(digest: str | None, image: str | None) -> bool:
    """Return whether the first scheme has this short digest of the image."""
    return digest is not None and image is not None and digest == _hash(image)[:_SHORT_DIGITS]


def scheme_of(digest: str) -> str:
    """Return the number of the scheme. Only digests of one scheme can be compared."""
    return digest.partition(":")[0]


def _as_sent(config: MachineConfig, image: object) -> dict[str, Any]:
    """Return the canonical config with the image as it is sent, not by its identity."""
    document = canonical(config)
    return document | {"image": image} if "image" in document else document


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""Digests of configs: what was applied, section by section, and what is live.

A digest of a desired config starts with the number of its scheme. Scheme 1 had each image as it is sent. Scheme 2 has
the identity of the image in its place: then a tag that moves to another name of the same image changes nothing. A
config whose image has none, as only its tag is known, is the same in both, and its digest has the number 1.
"""

import hashlib
import json
from typing import Any, Final

from reconciler.canonical.normalize import Canonical, canonical
from reconciler.model.config import MachineConfig
from reconciler.model.image import is_same_image, reference

SCHEME: Final = "2"
FIRST_SCHEME: Final = "1"
_FIELDS_LIMIT: Final = 200
_DIGITS: Final = 20
_SHORT_DIGITS: Final = 4


def digest_of(config: MachineConfig) -> str:
    """Return the digest of a desired config, `SCHEME:hex`: the mark `applied`."""
    return DesiredDigest(config).text


class DesiredDigest:
    """The digest of a desired config, to be compared with those of many machines.

    The config is brought to its canonical form once, and hashed once for each image that the machines have.
    """

    def __init__(self, config: MachineConfig) -> None:
        self._config = config
        self.canonical: Canonical = canonical(config)
        self._as_sent: dict[str | None, str] = {}  # by image
        image = None if "containers" in config.document else reference(config.image)
        scheme = SCHEME if image and image.identity else FIRST_SCHEME
        self.text: str = f"{scheme}:{_hash(self.canonical)[:_DIGITS]}"

    def is_told_by(self, digest: str | None, *, live: MachineConfig | None = None) -> bool:
        """Return what `is_digest_of` returns of this config."""
        if digest is None or digest == self.text:
            return digest is not None
        if scheme_of(digest) != FIRST_SCHEME:
            return False
        own = self._config.image
        is_same = live is not None and is_same_image(live.image, own)
        return digest in {self._first(image) for image in ([own, live.image] if live and is_same else [own])}

    def _first(self, image: str | None) -> str:
        """Return the digest of the first scheme, with the image as it was sent."""
        if image not in self._as_sent:
            self._as_sent[image] = f"{FIRST_SCHEME}:{_hash(_with_image(self.canonical, image))[:_DIGITS]}"
        return self._as_sent[image]


class DesiredDigests:
    """The digests of a spec's configs, each found once."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[MachineConfig, DesiredDigest]] = {}

    def of(self, config: MachineConfig) -> DesiredDigest:
        """Return the digest of this very config."""
        known = self._found.get(id(config))
        if known is None:
            known = self._found[id(config)] = config, DesiredDigest(config)  # held, so that its id stays its own
        return known[1]


def is_digest_of(digest: str | None, config: MachineConfig, *, live: MachineConfig | None = None) -> bool:
    """Return whether the digest is of this desired config.

    It may be one of the first scheme. That has the image as it was sent: as it is on the machine, if that is the same
    image.
    """
    return digest is not None and DesiredDigest(config).is_told_by(digest, live=live)


def live_digest(config: MachineConfig) -> str:
    """Return the digest of a reported config, to tell whether it has changed.

    The image counts as it is reported, with its tag.
    """
    return _hash(_with_image(canonical(config), config.image))


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


def _with_image(document: dict[str, Any], image: object) -> dict[str, Any]:
    """Return the canonical config with the image as it is sent, not by its identity."""
    return document | {"image": image} if "image" in document else document


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

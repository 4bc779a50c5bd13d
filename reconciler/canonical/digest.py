"""Digests of configs: what was applied, section by section, and what is live."""

import hashlib
import json
from typing import Any, Final

from reconciler.canonical.normalize import canonical
from reconciler.model.config import MachineConfig

SCHEME: Final = "1"
_FIELDS_LIMIT: Final = 200


def digest_of(config: MachineConfig) -> str:
    """The digest of a desired config, `SCHEME:hex`: what the mark `applied` holds."""
    return f"{SCHEME}:{_hash(canonical(config))[:20]}"


def live_digest(config: MachineConfig) -> str:
    """The digest of a reported config, to tell whether it is still the one that a plan was made for."""
    return _hash(canonical(config))


def section_digests(config: MachineConfig) -> str:
    """`image=ab12,env=34cd`: a short digest for each section, so that a later plan can tell whose change it sees."""
    parts = [f"{section}={digest}" for section, digest in sections_of(canonical(config)).items()]
    while len(",".join(parts)) > _FIELDS_LIMIT:
        parts.pop()
    return ",".join(parts)


def sections_of(document: dict[str, Any]) -> dict[str, str]:
    """The short digest of each section of a canonical config."""
    return {section: _hash(document[section])[:4] for section in sorted(document)}


def parse_fields(mark: str) -> dict[str, str]:
    """The mark `fields` as a map of section to short digest."""
    pairs = (part.partition("=") for part in mark.split(",") if "=" in part)
    return {section: digest for section, _, digest in pairs}


def has_scheme(digest: str) -> bool:
    """Whether the digest was made by this scheme, so that it may be compared at all."""
    return digest.startswith(f"{SCHEME}:")


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""Digests of configs: what was applied, section by section, and what is live."""

import hashlib
import json
from typing import Any, Final

from reconciler.canonical.normalize import canonical
from reconciler.model.config import MachineConfig

SCHEME: Final = "1"
_FIELDS_LIMIT: Final = 200


def digest_of(config: MachineConfig) -> str:
    """Return the digest of a desired config, `SCHEME:hex`: the mark `applied`."""
    return f"{SCHEME}:{_hash(canonical(config))[:20]}"


def live_digest(config: MachineConfig) -> str:
    """Return the digest of a reported config, to tell whether it has changed."""
    return _hash(canonical(config))


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
    return {section: _hash(document[section])[:4] for section in sorted(document)}


def parse_fields(mark: str) -> dict[str, str]:
    """Parse the mark `fields` into a map of section to short digest."""
    pairs = (part.partition("=") for part in mark.split(",") if "=" in part)
    return {section: digest for section, _, digest in pairs}


def has_scheme(digest: str) -> bool:
    """Return whether this scheme made the digest, so that it can be compared."""
    return digest.startswith(f"{SCHEME}:")


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

"""What plans of many apps remember between them, in the user's cache directory: hints that cost nothing to lose.

Whatever is wrong with the file (none, half of one, another version's, a full disk, a home that cannot be written) is
as if there were none: then each app is listed, as by the first plan.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconciler.cli.files import replace_file
from reconciler.planner.plan_cache import Known, KnownMachines

_OFF: Final = "off"
_MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMemory:
    """By app, its machines that were as declared, by id; `pages` that the organisations' lists took, if ever asked."""

    apps: Mapping[str, KnownMachines] = field(default_factory=dict)
    pages: int | None = None


def memory_file(environment: Mapping[str, str], *, api: str, stack: str) -> Path | None:
    """The file for plans of this stack: below RECONCILER_CACHE, else XDG_CACHE_HOME, else ~/.cache; None for `off`."""
    chosen = environment.get("RECONCILER_CACHE")
    if chosen == _OFF:
        return None
    name = hashlib.sha256(f"{api}\n{stack}".encode("utf-8", "surrogatepass")).hexdigest()[:20]
    cache = Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "reconciler"
    try:
        return (Path(chosen) if chosen else cache).expanduser() / "plans" / f"{name}.json"
    except RuntimeError:  # nobody's home
        return None


def recall(file: Path, *, version: str) -> PlanMemory:
    """What this version of the tool left in the file; nothing where it is not to be had."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            return PlanMemory()
        return _parse(json.loads(file.read_bytes()), version)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return PlanMemory()


def remember(file: Path, memory: PlanMemory, *, version: str) -> None:
    """Leaves it in the file, for its owner only, if that can be done."""
    document = {"version": version, "pages": memory.pages, "apps": memory.apps}
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, json.dumps(document, separators=(",", ":")))
    except OSError:
        return


def _parse(document: dict[str, Any], version: str) -> PlanMemory:
    if document["version"] != version:
        return PlanMemory()
    pages = document["pages"]
    apps = {
        str(app): {str(machine_id): Known(str(one[0]), str(one[1])) for machine_id, one in machines.items()}
        for app, machines in document["apps"].items()
    }
    return PlanMemory(apps=apps, pages=pages if isinstance(pages, int) else None)

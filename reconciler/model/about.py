"""An installation of this package: its version, and where its things are."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The version, and what a report of a fault should name.

    `scheme` is that of the digests on machines. `spec` is None if there is none.
    """

    version: str
    python: str
    platform: str
    scheme: str
    package: Path
    engine_home: Path
    target: str
    spec: str | None

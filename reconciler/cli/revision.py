"""The revision of the spec: as given, else the commit that is checked out where the spec lies, else none."""

import subprocess
from pathlib import Path
from typing import Final

from reconciler.model.revision import Revision, committed, numbered
from reconciler.model.spec import Spec

_TIMEOUT_S: Final = 5


def revision_of(spec: Spec, number: int | None) -> Revision | None:
    """The number as a revision; without one HEAD, by its committer time: commit counts are wrong in shallow clones."""
    if number is not None:
        return numbered(number)
    if spec.file.startswith("<"):
        return None
    command = ["git", "-C", str(Path(spec.file).parent), "log", "-1", "--format=%ct %H"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        time_s, commit = ended.stdout.split()
        return committed(int(time_s), commit)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None

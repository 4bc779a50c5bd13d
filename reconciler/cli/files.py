"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path


def replace_file(target: Path, text: str) -> None:
    """Puts the text in the place of what is there, readable for its owner only; a link is followed. Raises OSError."""
    target = Path(os.path.realpath(target))
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as unfinished:
            unfinished.write(text)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

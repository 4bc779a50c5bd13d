"""An image of this very Python, as no base image can be pulled: the interpreter, its library, and what both link to."""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

_NOT_NEEDED = shutil.ignore_patterns(
    "test", "tests", "site-packages", "__pycache__", "config-*", "idlelib", "ensurepip"
)


def python_context(folder: Path) -> Path:
    """A directory to build the image of."""
    root = folder / "root"
    library = Path(sysconfig.get_paths()["stdlib"])
    interpreter = Path(sys.executable).resolve()
    shutil.copytree(library, root / "usr/local/lib" / library.name, ignore=_NOT_NEEDED)
    (root / "usr/local/bin").mkdir(parents=True)
    shutil.copy(interpreter, root / "usr/local/bin/python3")
    modules = sorted((root / "usr/local/lib" / library.name / "lib-dynload").glob("*.so"))
    for linked in _linked([interpreter, *modules]):
        target = root / linked.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(linked, target)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("nobody:x:65534:65534:nobody:/:/bin/false\n")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY root /\nENV PATH=/usr/local/bin\n")
    return folder


def _linked(files: list[Path]) -> set[Path]:
    """The shared libraries that the files need, as the loader finds them."""
    said = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, timeout=60).stdout
    return {Path(found) for found in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)}

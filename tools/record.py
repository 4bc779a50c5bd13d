"""Record what the README's commands show, as its text and as its picture.

    python tools/record.py           writes what they show into README.md and docs/assets/terminal.svg
    python tools/record.py --check   ends with 1, and the differences, if those are not what today's commands show

The spec is the README's first block of YAML. The commands really run, on a local engine with a home of its own. What
differs between two runs (ids and times) is replaced by something fixed.
"""

import difflib
import fcntl
import html
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parents[1]
README: Final = ROOT / "README.md"
PICTURE: Final = ROOT / "docs" / "assets" / "terminal.svg"
COLUMNS: Final = 84
SESSION: Final = {  # lines, and what is typed where one asks
    "reconciler apply": "yes",
    "reconciler invoke import-orders -- yesterday; echo $?": "",
    "reconciler runs": "",
    "reconciler plan": "",
}
FIXED: Final = (  # in their order; a replacement has the width of what it replaces
    (r"(?<=-\d/)[0-9A-HJKMNP-TV-Z]{4,26}\b", lambda found: "01KB0HS8N0QYVJ5T6D2XWZ3M4C"[: len(found[0])]),
    (r"\b[0-9a-f]{14}\b", "148ed127c42d89"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-01-05 09:30:00"),
    (r"\b\d\.\d ?s\b", lambda found: re.sub(r"\d\.\d", "0.1", found[0])),
    (r"\b\ds ago", "1s ago"),
)
_TOKENS: Final = re.compile(r"\x1b\[(?P<number>[?\d;]*)(?P<letter>[A-Za-z])|(?P<end>\r?\n)|(?P<start>\r)|[^\x1b\r\n]+")


def record() -> str:
    """Run the session, and return what the terminal shows in the end, in colour."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        folder.mkdir()
        (folder / "machines.yaml").write_text(_block("yaml"))
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": name,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "RECONCILER_HOME": str(Path(name) / "engine"),
            "RECONCILER_TARGET": "local",
            "GIT_COMMITTER_DATE": "2026-01-05T09:00:00Z",
        }
        try:
            _commit(folder, environment)
            shown = [
                f"\x1b[1m$ {line}\x1b[0m\n{_on_terminal(line, answer, folder, environment)}"
                for line, answer in SESSION.items()
            ]
        finally:
            subprocess.run(["reconciler", "engine", "stop"], env=environment, check=True, stderr=subprocess.DEVNULL)
    text = "\n".join(shown)
    for pattern, instead in FIXED:
        text = re.sub(pattern, instead, text)
    return text


def _block(language: str) -> str:
    """Return the README's first block in the language."""
    found = re.search(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)
    assert found, f"the README has no block of {language}"
    return found[1]


def readme(text: str) -> str:
    """Return the README with what the commands of its first block of console show."""
    block = _block("console")
    parts = Text.from_ansi(text).plain.rstrip("\n").split("\n\n$ ")
    shown = [f"$ {part.removeprefix('$ ')}" for part in parts]
    wanted = re.findall(r"^\$ .*", block, re.MULTILINE)
    kept = [part for part in shown if part.partition("\n")[0] in wanted]
    return README.read_text().replace(block, "\n\n".join(kept) + "\n")


def _commit(folder: Path, environment: dict[str, str]) -> None:
    author = ["-c", "user.name=you", "-c", "user.email=you@example.com"]
    for words in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "Declare the shop"]):
        subprocess.run(["git", *words], cwd=folder, env=environment, check=True)


def _on_terminal(line: str, answer: str, folder: Path, environment: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with subprocess.Popen(["sh", "-c", line], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        written = b""
        while piece := _read(ours):
            written += piece
            if answer and written.endswith(b": "):
                os.write(ours, f"{answer}\n".encode())
                answer = ""
    os.close(ours)
    return settled(written.decode())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # its other end is closed
        return b""


def settled(written: str) -> str:
    """Return the lines that a terminal shows in the end.

    Progress was drawn over itself.
    """
    lines, row = [""], 0
    for token in _TOKENS.finditer(written):
        match token["letter"], token["end"]:
            case ("K", _):
                lines[row] = ""
            case ("A", _):
                row -= int(token["number"] or 1)
            case (_, str()):
                row += 1
                lines += [""] * (row == len(lines))
            case ("m" | None, _) if not token["start"]:
                lines[row] += token[0]
            case ("h" | "l" | None, _):
                pass
            case _:
                raise SystemExit(f"a terminal's command that this does not know: {token[0]!r}")
    return "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"


def picture(text: str) -> str:
    """Return the SVG. It fetches nothing: the font is the reader's."""
    console = Console(record=True, width=COLUMNS, force_terminal=True, color_system="truecolor", file=io.StringIO())
    console.print(Text.from_ansi(text), overflow="fold")
    svg = console.export_svg(title="reconciler", unique_id="terminal")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]*;", "font-family: ui-monospace, Menlo, Consolas, monospace;", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape("; ".join(SESSION))}" ', 1)
    return re.sub(r"[ \t]+$", "", re.sub(r"<!--.*?-->\n?", "", svg), flags=re.MULTILINE).rstrip("\n") + "\n"


def _readable(text: str) -> str:
    """Return the lines without what marks them up."""
    return re.sub(r"(\s*<[^>]*>)+\s*", "\n", text.replace("&#160;", " ")) if text.startswith("<svg") else text


def main(words: list[str]) -> int:
    text = record()
    made = {README: readme(text), PICTURE: picture(text)}
    if words != ["--check"]:
        for path, content in made.items():
            path.write_text(content)
        return 0
    differences: list[str] = []
    for path, content in made.items():
        there = path.read_text() if path.exists() else ""
        if there != content:
            lines = (_readable(one).splitlines() for one in (there, content))
            differences += [f"{path.name} differs:", *difflib.unified_diff(*lines, "there", "today", lineterm="")]
    print("\n".join(differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make mutants`: break each safety rule on purpose, in a copy of the tree, and ask whether the tests notice.

Not part of `make check`: one that is killed by its own tests takes a minute, one that lives an hour. With words, only
the rules with one of these words in them. Ends 1 where a mutant lives, or doesn't apply any more.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.mutant import ROOT, Mutant, MutantError, load_mutants

# Asked where a mutant's own tests don't kill it.
OTHERS = (
    "tests/scenarios/apply",
    "tests/scenarios/invoke",
    "tests/scenarios/faults",
    "tests/slots",
    "tests/apply",
    "tests/planner",
    "tests/invoke",
    "tests/images",
    "tests/render",
    "tests/machines_api",
    "tests/model",
    "tests/spec",
    "tests/engine",
    "tests/cli/test_canaries.py",
    "tests/cli/test_images.py",
    "tests/cli/test_saved_plan.py",
)
WORKERS = 2


def copy_tree(target: Path) -> None:
    for name in (
        "reconciler",
        "schemas",
        "tests",
        "examples",
        "pyproject.toml",
        "machines.yaml",
        "README.md",
        "CHANGELOG.md",
        "docs",
    ):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)


def killers(tests: tuple[str, ...], directory: Path) -> str:
    """Return the first test that fails, "" where all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--show-capture=no", *tests]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if ended.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    return failed[1] if failed else f"pytest ended with {ended.returncode}"


def verdict(mutant: Mutant) -> tuple[str, str]:
    """Return `killed` by its own tests, `killed late` by others, `lives` or `does not apply`; and by which, or why."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory)
        copy_tree(target)
        file = target / "reconciler" / mutant.file
        try:
            file.write_text(mutant.applied(file.read_text("utf-8")), "utf-8")
        except (MutantError, OSError) as error:
            return "does not apply", str(error)
        if mutant.by and (test := killers(mutant.by, target)):
            return "killed", test
        test = killers(OTHERS, target)
        return ("killed late", f"add it to `by`: {test}") if test else ("lives", "")


def main() -> int:
    chosen = [one for one in load_mutants() if not sys.argv[1:] or any(word in one.rule for word in sys.argv[1:])]
    bad = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for mutant, (ended, why) in zip(chosen, pool.map(verdict, chosen), strict=True):
            print(f"{ended:<14} {mutant.rule}  [{why}]", flush=True)
            bad += not ended.startswith("killed")
    print(f"{len(chosen) - bad} of {len(chosen)} mutants were killed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

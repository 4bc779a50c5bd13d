"""Print the sizes of files and functions, and how far docstrings go: `make stats`, or stats.py DIRECTORY."""

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
FILE_LINES = 300  # the limits that CONTRIBUTING.md gives
FUNCTION_LINES = 50
FIRST_LINE_CHARACTERS = 80
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
# What a docstring of a function may begin with. A verb that is missing here does not count: a lower bound.
VERBS = """
accept acquire add adopt advance allow announce answer append apply ask assert attach await back begin bind block
bring build call cancel carry check choose claim classify clean clear close collect colour combine commit compare
complete compute conceal confirm connect consume convert copy count create cut decide declare decode defer delete
deliver derive describe destroy detect digest discard drain drop emit encode end enforce ensure enter escape estimate
evaluate execute exit expand explain export extend extract fail fetch fill filter find finish fold follow forget
format forward free freeze gather generate get give group guard guess guide hand handle hash hide hold ignore import
improve inform insert inspect install interpolate invoke issue iterate join judge keep kill lay lease leave let limit
link list listen load lock log look lower make map mark mask match measure merge mount move name normalize note notify
observe offer open order pair parse pass pause perform pick plan point poll prefer prepare print probe produce prove
pull push put query queue quote raise read record recover redact refresh refuse register reject release remember
remind remove rename render renew repeat replace reply report request require reserve reset resolve respond restart
restore retry return reuse reveal rewrite roll route run save say scan schedule search see seek select send serve set
settle shorten show shut signal skip sleep sort split spread stand start state stop store stream strike strip sum
supersede supply suspend switch take tell terminate test throttle time track transform translate treat trim try turn
unlock update upload use validate verify wait walk warn watch work wrap write yield
"""


@dataclass
class Figures:
    """What one package has: lines by file and by function, and the docstrings of what is public."""

    files: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    public: int = 0
    docstrings: list[str] = field(default_factory=list)
    of_functions: list[str] = field(default_factory=list)
    too_long: list[str] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        self.files += other.files
        self.functions += other.functions
        self.public += other.public
        self.docstrings += other.docstrings
        self.of_functions += other.of_functions
        self.too_long += other.too_long


def main() -> None:
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "reconciler"
    packages: dict[str, Figures] = defaultdict(Figures)
    for path in sorted(root.rglob("*.py")):
        packages[package_of(path.relative_to(root))].add(read(path, path.relative_to(root.parent)))
    total = Figures()
    for figures in packages.values():
        total.add(figures)
    print_packages(packages, total)
    limits = f"over {FILE_LINES} lines a file or {FUNCTION_LINES} a function without signature and docstring"
    print(f"\n{limits}: {', '.join(total.too_long) or 'none'}")
    print_docstrings(total)


def package_of(path: Path) -> str:
    """Name the package of `path` by at most two folders; "." for the files on top."""
    return "/".join(path.parent.parts[:2]) or "."


def read(path: Path, name: Path) -> Figures:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    figures = Figures()
    if tree.body:
        figures.files.append(len(text.splitlines()))
        note_docstring(figures, tree)
    if len(text.splitlines()) > FILE_LINES:
        figures.too_long.append(f"{name} {figures.files[0]}")
    for node in ast.walk(tree):
        if isinstance(node, FUNCTION):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            figures.functions.append(lines)
            if body_lines(node) > FUNCTION_LINES:
                figures.too_long.append(f"{name}:{node.lineno} {node.name} {body_lines(node)}")
    for member in public_members(tree):
        note_docstring(figures, member)
    return figures


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function after its signature and docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0


def public_members(node: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public classes and functions of a module, and the public members of its public classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, *FUNCTION)) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public_members(child)


def note_docstring(figures: Figures, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    figures.public += 1
    docstring = ast.get_docstring(node)
    if not docstring:
        return
    figures.docstrings.append(docstring)
    if isinstance(node, FUNCTION):
        figures.of_functions.append(docstring)


def print_packages(packages: dict[str, Figures], total: Figures) -> None:
    print(
        f"{'package':24} {'files':>5} {'lines: median':>13} {'max':>4} {'functions':>9} {'lines: median':>13}", end=" "
    )
    print(f"{'max':>4} {'public with docstring':>22}")
    for name, figures in [*packages.items(), ("all", total)]:
        files, functions = figures.files or [0], figures.functions or [0]
        share = percent(len(figures.docstrings), figures.public)
        print(f"{name:24} {len(figures.files):5} {median(files):13g} {max(files):4}", end=" ")
        print(f"{len(figures.functions):9} {median(functions):13g} {max(functions):4} {share:>22}")


def print_docstrings(total: Figures) -> None:
    """Print how docstrings begin. Only those of functions can be imperative: a class or a module is a noun."""
    short = sum(len(docstring.splitlines()[0]) < FIRST_LINE_CHARACTERS for docstring in total.docstrings)
    print(f"first line under {FIRST_LINE_CHARACTERS} characters: {percent(short, len(total.docstrings))}")
    words = Counter(first_word(docstring) for docstring in total.of_functions)
    known = frozenset(VERBS.split())
    verbs = sum(count for word, count in words.items() if word.lower() in known)
    print(f"begin with a verb that the script knows: {percent(verbs, words.total())} of public functions' docstrings")
    print("first words of these: " + ", ".join(f"{word} {count}" for word, count in words.most_common(20)))


def first_word(docstring: str) -> str:
    return docstring.split(maxsplit=1)[0].strip("`.,:;()")


def percent(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if whole else "none"


if __name__ == "__main__":
    main()

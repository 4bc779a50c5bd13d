"""What the documents and workflows name exists: files, links, classes, layers, versions of Python."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "reconciler"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])
CURRENT = [document for document in DOCUMENTS if document.name != "CHANGELOG.md"]  # which may tell of what is gone
SOURCES = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def prose(text: str) -> str:
    """Return the text without code."""
    return re.sub(r"`[^`\n]*`", "", without_blocks(text))


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or place.is_dir()


def section(document: str, heading: str) -> str:
    _, _, rest = (ROOT / document).read_text().partition(f"\n## {heading}\n")
    assert rest, f"{document} has no section {heading!r}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("document", CURRENT, ids=named)
def test_each_path_that_a_document_names_exists(document: Path) -> None:
    text = without_blocks(document.read_text())
    paths = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/(?:[\w-]+\.(?:py|md|json|ya?ml|html|sh|php|toml))?)`", text)
    modules = re.findall(r"`(reconciler(?:\.[a-z_]+)+)`", text)
    for path in paths:
        assert any((place / path).exists() for place in (ROOT, PACKAGE, document.parent)), path
    for name, path in re.findall(r"`([A-Za-z_]+)` in `([\w/]+\.py)`", text):
        file = next(place / path for place in (ROOT, PACKAGE) if (place / path).exists())
        assert re.search(rf"^((async )?def |class )?{name}\b", file.read_text(), re.MULTILINE), (name, path)
    for module in modules:
        assert is_module(module) or is_module(module.rpartition(".")[0]), module


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_each_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(document.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = document.parent / path if path else document
        assert place.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)", place.read_text(), flags=re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}
            assert anchor in anchors, target


def test_the_picture_of_the_layers_is_what_import_linter_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    picture = re.findall(r"```\n(.*?)```", section("docs/explanation/architecture.md", "The layers"), re.DOTALL)[0]
    drawn = [re.split(r"\s{2,}", line)[0] for line in picture.splitlines()]
    assert drawn == [layer.replace("reconciler.", "") for layer in layers]


def test_each_class_of_the_glossary_exists() -> None:
    for name in re.findall(r"\(`([A-Z]\w+)`\)", (ROOT / "docs/explanation/glossary.md").read_text()):
        assert re.search(rf"^class {name}\b|^{name}\b.*TypeAlias", SOURCES, re.MULTILINE), name


@pytest.mark.parametrize("document", CURRENT, ids=named)
def test_no_document_uses_a_word_that_the_glossary_replaces(document: Path) -> None:
    table = section("docs/explanation/glossary.md", "Words that we do not use")
    words = re.findall(r"^\| (\w+) \| ", table, re.MULTILINE)
    assert words
    text = document.read_text()
    if document.name == "glossary.md":
        text = text.partition("\n## Words that we do not use")[0]
    found = [word for word in words if re.search(rf"\b{word}s?\b", prose(text), re.IGNORECASE)]
    assert not found


def test_each_variable_and_schema_is_documented() -> None:
    documents = "\n".join(document.read_text() for document in CURRENT)
    variables = set(re.findall(r"\bRECONCILER_[A-Z_]+[A-Z]\b", SOURCES))
    schemas = {path.name.removesuffix(".schema.json") for path in (ROOT / "schemas").iterdir()}
    assert [name for name in sorted(variables) if name not in documents] == []
    assert [name for name in sorted(schemas - {"spec", "overlay"}) if f"`{name}`" not in documents] == []


def test_each_mark_is_in_the_table_of_the_protocols() -> None:
    table = section("docs/explanation/protocols.md", "3. Marks")
    marks = re.findall(r"= PREFIX \+ \"(\w+)\"", (PACKAGE / "model/marks.py").read_text())
    assert marks
    missing = [mark for mark in marks if not re.search(rf"`{mark}(\d|…|`)", table)]
    assert not missing


def test_each_assumption_is_documented_once_and_cited_where_the_document_says() -> None:
    table = section("docs/explanation/protocols.md", "7. Assumptions")
    rows = re.findall(r"^\| (A\d+) \|.*\| (.*) \|$", table, re.MULTILINE)
    documented = [number for number, _ in rows]
    assert len(documented) == len(set(documented))
    cited = set(re.findall(r"\bassumption (A\d+)|\((A\d+)\)|_assumed\(\s*\"(A\d+)\"|\"(A\d+)\":", SOURCES))
    assert {next(filter(None, one)) for one in cited} == set(documented)
    for number, places in rows:
        for place in re.findall(r"`(.*?)`", places):
            assert re.search(rf"\b{number}\b", (PACKAGE / place).read_text()), (number, place)


def test_no_file_or_function_is_longer_than_contributing_allows() -> None:
    ended = subprocess.run([sys.executable, "tools/stats.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    (line,) = re.findall(r"^over 300 lines a file or 50 a function.*: (.*)$", ended.stdout, re.MULTILINE)
    assert line == "none"
    assert "at most 300 lines, a function at most 50 after" in (ROOT / "CONTRIBUTING.md").read_text()


def test_the_first_line_of_each_docstring_is_under_80_characters() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                if len(first) >= 80:
                    found.append(f"{named(path)} {getattr(node, 'name', 'module')}: {first}")
    assert not found, "\n".join(found)


def test_no_test_file_is_imported_from() -> None:
    imported = re.compile(r"^\s*(?:from|import) tests\.(?:\w+\.)*test_\w+", re.MULTILINE)
    found = {
        str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("*.py") if imported.search(file.read_text())
    }
    assert not found, "what several test files use goes to tests/support"


def test_the_workflows_check_each_python_that_the_project_names() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    versions = [one.rpartition(" :: ")[2] for one in classifiers if re.fullmatch(r".*Python :: 3\.\d+", one)]
    workflow = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())
    assert workflow["jobs"]["checks"]["strategy"]["matrix"]["python"] == versions


def test_ci_ends_with_the_tests_so_that_their_summary_is_its_last_line() -> None:
    assert (ROOT / ".ci/run").read_text().splitlines()[-1].partition(" #")[0] == "make check"


def test_each_action_is_pinned_to_a_commit_that_its_version_is_told_of() -> None:
    pins: dict[str, set[str]] = {}
    for path in (*(ROOT / ".github/workflows").glob("*.yml"), *(ROOT / "examples/github-actions").glob("*.yml")):
        for used in re.findall(r"uses: (.*)", path.read_text()):
            if used.startswith("./") or used == f"OWNER/machines-reconciler@{'0' * 40} # VERSION":
                continue
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
            pins.setdefault(used.partition("@")[0], set()).add(used)
    assert [several for several in pins.values() if len(several) > 1] == [], "the examples use what CI uses"


def test_each_place_of_the_owner_is_told_before_the_first_release() -> None:
    told = re.findall(r"`([\w./-]+)`", section("CONTRIBUTING.md", "Before the first release"))
    listed = ("*.md", "*.toml", "*.yml", ".github/**/*.yml", "docs/**/*.md", "examples/**/*.*", "reconciler/**/*.py")
    found = (path for pattern in (*listed, "tools/*.py", "action/*") for path in ROOT.glob(pattern))
    files = [path for path in found if path.is_file() and path.suffix != ".pyc"]
    places = {named(path) for path in files if re.search(r"\bOWNER[/.][a-z]", path.read_text())}
    missing = [path for path in sorted(places) if not any(path == one or path.startswith(one) for one in told)]
    assert places > {"README.md", "pyproject.toml"}
    assert missing == []

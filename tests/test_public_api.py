"""The public interface: the names of `reconciler`, where each comes from, and that importing it is cheap."""

import ast
import enum
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import reconciler
from reconciler.errors import ReconcilerError

# One more is a promise that is kept.
TYPES = """
Action App ApplyEvent ApplyEventType AsyncRun AsyncStack AsyncTasks BuiltImage Cause Change Diagnostic Entry
FieldChange FoundLease ListedRuns
LogLine NeverStarted OnBusy Outcome OutcomeName Plan Pool PoolKind Report Run RunInfo RunState SavedPlan Slot SlotStatus
Spec Stack StackStatus Status Target Tasks Unlocked
"""
ERRORS = """
ApiError ApiErrorKind BlockedError BuildError LeaseLostError LogsIncompleteError NotStartedError ReconcilerError
RegistryError RegistryErrorKind RunFailedError SpecError StalePlanError StartUnclearError TargetError
UnobservedError UsageError
"""
FUNCTIONS = "__version__ load_spec plan_sha256 read_plan"
INIT = "def __init__"
NAMES = f"{TYPES} {ERRORS} {FUNCTIONS}".split()


def test_the_names_are_these() -> None:
    assert sorted(reconciler.__all__) == sorted(NAMES)
    assert {*NAMES} <= {*dir(reconciler)}


@pytest.mark.parametrize("name", NAMES)
def test_each_name_leads_to_what_is_called_so(name: str) -> None:
    found = getattr(reconciler, name)
    assert name == "__version__" or found.__name__ == name


def test_every_name_of_an_outcome_a_change_or_an_error_is_a_word_too() -> None:
    public = [getattr(reconciler, name) for name in NAMES if name != "__version__"]
    enums = [one for one in public if isinstance(one, type) and issubclass(one, enum.Enum)]
    assert reconciler.OutcomeName in enums
    for one in enums:
        assert all(isinstance(member, str) and str(member) == member.value == member for member in one)
        assert json.loads(json.dumps([*one])) == [member.value for member in one]


def test_the_version_is_the_distributions() -> None:
    assert reconciler.__version__ == version("machines-reconciler")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = reconciler.nonsense


def test_every_error_is_public() -> None:
    def below(error: type[ReconcilerError]) -> set[type[ReconcilerError]]:
        return {error}.union(*(below(one) for one in error.__subclasses__()))

    of_errors = {one for one in below(ReconcilerError) if one.__module__ == "reconciler.errors"}
    assert {one.__name__ for one in of_errors} <= {*NAMES}


def test_what_the_documents_and_examples_import_is_in_one_place() -> None:
    """The pytest plugin has a place of its own."""
    root = Path(__file__).parents[1]
    texts = {
        path: path.read_text()
        for folder in ("docs", "examples")
        for path in (root / folder).rglob("*.*")
        if path.suffix in {".md", ".py"}
    }
    found = {
        (path.name, module, name.strip())
        for path, text in texts.items()
        for module, names in re.findall(r"^from (reconciler[.\w]*) import (.+)$", text, re.MULTILINE)
        for name in names.split(",")
    }
    assert len(found) > 5
    assert {one for one in found if one[1] == "reconciler" and one[2] not in NAMES} == set()
    assert {one for one in found if one[1] not in {"reconciler", "reconciler.testing"}} == set()


def test_the_engines_for_tests_are_in_one_place_too() -> None:
    from reconciler import testing

    assert [getattr(testing, name).__name__ for name in testing.__all__] == ["LiveEngine", "VirtualEngine"]
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = testing.nonsense


def test_what_an_object_shows_has_a_type() -> None:
    """Other type checkers than ours may infer another one, and `pyright --verifytypes` counts that."""
    untyped = []
    for file in Path(reconciler.__file__).parent.rglob("*.py"):
        classes = [one for one in ast.walk(ast.parse(file.read_text())) if isinstance(one, ast.ClassDef)]
        inits = [
            part for one in classes if one.name[0] != "_" for part in one.body if ast.unparse(part).startswith(INIT)
        ]
        for part in (part for init in inits for part in ast.walk(init) if isinstance(part, ast.Assign)):
            shown = [ast.unparse(target) for target in part.targets if re.match(r"self\.[a-z]", ast.unparse(target))]
            if not isinstance(part.value, ast.Name):  # which is an argument, and has its type
                untyped += [f"{file.name}:{part.lineno} {name}" for name in shown]
    assert untyped == []


def test_importing_the_package_imports_nothing_of_it() -> None:
    program = """
import sys
import reconciler
print(sorted(name for name in sys.modules if name.startswith("reconciler") or name in {"httpx", "click", "asyncio"}))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.strip() == "['reconciler']"

"""Import a package without parts that are hardly ever used.

Each of them is imported when it is first used. A part is a module that the package imports and that takes time. While
the package is imported, a stand-in is in its place. It is no longer in `sys.modules` afterwards, so that whoever else
imports the part gets the part. What the package took from the stand-in are names that import the part when they are
called. A version of the package that does not go on with stand-ins is imported as it is. `cli/lean_imports.py` has the
table.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NamedTuple


class Package(NamedTuple):
    """How a package is imported.

    `parts` has the names that it takes from each part. A name stands for itself, and imports the part when it is
    called, if there is nothing for it in `instead`. `parents` are packages whose parts it reads as `parent.part`.
    `adjust` is called with the package once it is imported.
    """

    parts: Mapping[str, str]
    parents: tuple[str, ...] = ()
    instead: Mapping[str, Any] = {}
    adjust: Callable[[Any], None] = lambda package: None


@contextmanager
def importing_later(packages: Mapping[str, Package]) -> Iterator[None]:
    """Leave out the parts of each package that is imported during the block."""
    finder = _Finder(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    def __init__(self, packages: Mapping[str, Package]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self._packages:
            return None
        spec: Any = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader, self._packages[name])
        return spec  # type: ignore[no-any-return]


class _Loader:
    """Runs a package's own loader while its parts have stand-ins."""

    def __init__(self, loader: Any, package: Package) -> None:
        self._loader = loader
        self._package = package

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader  # as it was: from here on nobody sees a difference
        if module.__spec__:
            module.__spec__.loader = self._loader
        known, names = set(sys.modules), dict(vars(module))
        try:
            with _stand_ins(self._package):
                self._loader.exec_module(module)
            self._package.adjust(module)
            return
        except Exception:
            for name in set(sys.modules) - known:
                del sys.modules[name]
        vars(module).clear()
        vars(module).update(names)
        self._loader.exec_module(module)


@contextmanager
def _stand_ins(package: Package) -> Iterator[None]:
    """Put a stand-in in place of each part that is not imported yet during the block."""
    there = []
    for name in package.parents:
        import_module(name)
    for name, names in package.parts.items():
        if name not in sys.modules:
            stand_in = sys.modules[name] = _StandIn(name, names.split(), package.instead)
            _join(stand_in)
            there.append(stand_in)
    try:
        yield
    finally:
        for stand_in in there:
            if sys.modules.get(stand_in.__name__) is stand_in:
                del sys.modules[stand_in.__name__]
                _join(stand_in)


def _join(stand_in: ModuleType) -> None:
    """Let code that said `import a.b` find `a.b` when it runs.

    An import of the part will replace it.
    """
    parent, _, child = stand_in.__name__.rpartition(".")
    if parent in sys.modules:
        vars(sys.modules[parent]).setdefault(child, stand_in)


class _StandIn(ModuleType):
    def __init__(self, part: str, names: list[str], instead: Mapping[str, Any]) -> None:
        super().__init__(part)
        self.__all__ = names
        for name in names:
            setattr(self, name, instead.get(f"{part}.{name}") or _later(part, name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or sys.modules.get(self.__name__) is self:
            raise AttributeError(name)
        return getattr(import_module(self.__name__), name)


class _Later(type):
    """The type of a name whose part is imported when it is called.

    Meanwhile it can be subclassed.
    """

    def __call__(cls, *values: Any, **named: Any) -> Any:
        real = _real(cls)
        return super().__call__(*values, **named) if real is cls else real(*values, **named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        real = _real(cls)
        return super().__getattribute__(name) if real is cls else getattr(real, name)

    def __instancecheck__(cls, instance: Any) -> bool:
        if "_part" in vars(cls):
            return cls._part in sys.modules and isinstance(instance, _real(cls))
        return super().__instancecheck__(instance)


def _later(part: str, name: str) -> _Later:
    return _Later(name, (), {"_part": part, "_name": name})


def _real(name: _Later) -> Any:
    """Import what the name stands for.

    If it is a subclass of such names, what they stand for becomes its bases.
    """
    if "_part" in vars(name):
        return getattr(import_module(name._part), name._name)
    if any(isinstance(base, _Later) for base in name.__bases__):
        name.__bases__ = tuple(_real(base) if isinstance(base, _Later) else base for base in name.__bases__)
    return name

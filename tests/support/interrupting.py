"""A module whose import is interrupted by Ctrl-C."""

import sys
from typing import Any

import pytest


class _Interrupting:
    """Is found in place of a module, and is interrupted as soon as something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        raise KeyboardInterrupt


def interrupt_import(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let the first use of the module be interrupted."""
    monkeypatch.setitem(sys.modules, module, _Interrupting())

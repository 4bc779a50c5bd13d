"""A `python` that starts at once, for tests that start hundreds of processes which all import the same.

`bin/python -I -m MODULE …` and `bin/python -I PATH …` are run by a copy of one process that has imported the modules
before. The copy has the environment, the directory, the input and the outputs of whoever started it.
"""

import atexit
import importlib
import os
import pkgutil
import runpy
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

_OURS = ("cli.commands", "cli.ui", "operations", "apply", "planner", "render", "machines_api", "slots", "spec")
_OTHERS = ("argparse", "asyncio", "httpx", "json", "urllib.request", "yaml")
_MOST = 1 << 20  # bytes of a request
_ASKING = """#!{python} -IS
import os, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({path!r})
words = sys.argv[1:]
parts = [os.getcwd(), str(len(words)), *words, *(f"{{name}}={{value}}" for name, value in os.environ.items())]
socket.send_fds(asked, ["\\0".join(parts).encode(errors="surrogateescape")], [0, 1, 2])
asked.shutdown(socket.SHUT_WR)
sys.exit(int(asked.recv(8) or 70))
"""


@contextmanager
def warm_python() -> Iterator[Path]:
    """A folder with `bin/python`, for the block."""
    with tempfile.TemporaryDirectory(prefix="warm-") as name:
        folder, path = Path(name), str(Path(name) / "socket")
        (folder / "bin").mkdir()
        (folder / "bin" / "python").write_text(_ASKING.format(python=sys.executable, path=path))
        (folder / "bin" / "python").chmod(0o700)
        with subprocess.Popen(
            [sys.executable, "-P", __file__, path],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},  # the modules that the tests test
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout
            try:
                assert server.stdout.readline() == "ready\n"
                yield folder
            finally:
                server.terminate()


def _serve(path: str) -> None:
    for package in _OURS:
        module = importlib.import_module(f"reconciler.{package}")
        for found in pkgutil.iter_modules(module.__path__, f"{module.__name__}."):
            importlib.import_module(found.name)
    for name in _OTHERS:
        importlib.import_module(name)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    copies = 0
    while True:
        asked, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(asked)
        asked.close()
        copies += 1
        while copies and os.waitpid(-1, os.WNOHANG)[0]:
            copies -= 1


def _answer(asked: socket.socket) -> None:
    """Run what was asked for in this process, say how it ended, and end."""
    content, streams, _, _ = socket.recv_fds(asked, _MOST, 3)
    while more := asked.recv(_MOST):
        content += more
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    directory, count, isolated, *rest = content.decode(errors="surrogateescape").split("\0")
    assert isolated == "-I"
    arguments, variables = rest[: int(count) - 1], rest[int(count) - 1 :]
    os.chdir(directory)
    os.environ.clear()
    for variable in variables:
        name, _, value = variable.partition("=")
        os.environ[name] = value
    end = os._exit

    def tell(status: int) -> NoReturn:
        asked.sendall(str(status).encode())
        end(status)

    os._exit = tell  # as the command ends its process
    code = _run(arguments)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    tell(code)


def _run(arguments: list[str]) -> int:
    is_module = arguments[0] == "-m"
    sys.argv = arguments[1:] if is_module else arguments
    try:
        if is_module:
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1])

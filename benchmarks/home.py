"""A directory with a spec, a local engine of its own, and the commands that run there."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Work, environment, process
from benchmarks.trees import Tree, current_tree
from reconciler.engine.server.daemon import read_token, start_engine, stop_engine

ONE_TASK = "version: 1\nname: b\napps: {b: {image: i, tasks: {ok: {command: ['true']}}}}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where commands run. `url` is the engine's, without `/v1`."""

    directory: Path
    engine: Path
    url: str
    token: str
    environment: dict[str, str]

    def command(self, *arguments: str, tree: Tree | None = None, **more: str) -> Work:
        """The command of a tree, by default of this one, as a whole process; `more` is environment of its own."""
        return (tree or current_tree()).runs(*arguments, cwd=self.directory, env=self.environment | more)

    def python(self, program: str, *arguments: str) -> Work:
        """A program of Python's, as a whole process."""
        return self.process(sys.executable, "-c", program, *arguments)

    def process(self, *line: str) -> Work:
        return process(*line, cwd=self.directory, env=self.environment)

    def empty(self) -> None:
        """Replace the engine by one that has nothing, at another URL: only commands find that."""
        stop_engine(self.engine)
        shutil.rmtree(self.engine)
        start_engine(self.engine)


@contextmanager
def open_home(spec: str = ONE_TASK) -> Iterator[Home]:
    """A home with this spec, and an engine that is ended with the block. Programs find URL and TOKEN."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        directory, engine = Path(name), Path(name) / "engine"
        (directory / "machines.yaml").write_text(spec)
        url, token = start_engine(engine).url, read_token(engine)
        assert url
        ours = environment(RECONCILER_HOME=str(engine), RECONCILER_TARGET="local", URL=f"{url}/v1/apps", TOKEN=token)
        try:
            yield Home(directory=directory, engine=engine, url=url, token=token, environment=ours)
        finally:
            stop_engine(engine)

"""What an image runs, as its Dockerfile tells."""

import pytest

from reconciler.drafts.dockerfile import command_of

SHELL = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("lines", "entrypoint", "command", "port"),
    [
        (["FROM a"], (), (), None),
        (["FROM a", 'CMD ["run", "it"]'], (), ("run", "it"), None),
        (["from a", "cmd run $IT", "expose 8080/tcp 9090"], (), (*SHELL, "run $IT"), 8080),
        (["FROM a", 'CMD ["x"]', 'CMD ["run"]'], (), ("run",), None),
        (["FROM a", 'ENTRYPOINT ["tini", "--"]', 'CMD ["run"]'], ("tini", "--"), ("run",), None),
        (["FROM a", 'CMD ["run"]', 'ENTRYPOINT ["tini"]'], ("tini",), ("run",), None),
        (["FROM a", "ENTRYPOINT run it", 'CMD ["never"]'], (*SHELL, "run it"), (), None),
        (["FROM a AS base", 'CMD ["run"]', "EXPOSE 80", "FROM base"], (), ("run",), 80),
        (["FROM a AS base", 'CMD ["run"]', "FROM base", 'ENTRYPOINT ["tini"]'], ("tini",), (), None),
        (["FROM a AS build", 'CMD ["make"]', "FROM b"], (), (), None),
        (["FROM --platform=linux/amd64 a as base", "CMD run", "FROM base"], (), (*SHELL, "run"), None),
        (["FROM a", "# CMD no", "CMD run \\", "  # a comment", "  it"], (), (*SHELL, "run   it"), None),
        (["# escape=`", "FROM a", "CMD run `", " it"], (), (*SHELL, "run  it"), None),
        (["FROM a", 'SHELL ["bash", "-lc"]', "CMD run"], (), ("bash", "-lc", "run"), None),
        (["FROM a", "RUN <<EOF", "CMD no", "EOF", "CMD yes"], (), (*SHELL, "yes"), None),
        (["FROM a", "EXPOSE $PORT", "EXPOSE 70000", "EXPOSE 7000-7010"], (), (), None),
        (["FROM a", "CMD [run]"], (), (*SHELL, "[run]"), None),
        (["", "FROM", "CMD"], (), (), None),
    ],
)
def test_the_last_stage_says_what_runs(
    lines: list[str], entrypoint: tuple[str, ...], command: tuple[str, ...], port: int | None
) -> None:
    found = command_of("\n".join(lines))
    assert (found.entrypoint, found.command, found.port) == (entrypoint, command, port)

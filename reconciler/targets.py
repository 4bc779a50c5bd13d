"""Find where the API is, with which token, and who asks.

A name and an environment decide. One target never silently stands in for another. The environment is handed in: only
the command reads it, and the public constructors by `process_environment`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from reconciler.engine_home import engine_home
from reconciler.errors import TargetError
from reconciler.model.local_engine import LocalEngine
from reconciler.model.secret import Secret
from reconciler.model.unicode import replaced

if TYPE_CHECKING:
    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import EngineStatus

FLY: Final = "fly"
LOCAL: Final = "local"


class Target(Struct, frozen=True, kw_only=True):
    """An API to talk to.

    `name` is what the user calls it; `log_delay_s` how late log lines may come after an exit. `runs_on_host` says that
    commands run without their images; `container_host` is where the container engine listens that the local engine
    uses. `local` is how the local engine is found again.
    """

    name: str
    base_url: str
    logs_url: str
    token: Secret | None
    is_paced: bool
    log_delay_s: float
    runs_on_host: bool = False
    container_host: str | None = None
    local: LocalEngine | None = None


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process, for public constructors without one."""
    return os.environ


def resolve_target(environment: Mapping[str, str], name: str | None = None) -> Target:
    """Return the target of this name, else RECONCILER_TARGET, else Fly.

    Starts the local engine if it is not running. Raises TargetError.
    """
    return _local(environment) if name_of_target(environment, name) == LOCAL else _remote(environment, name)


def find_target(environment: Mapping[str, str], name: str | None = None, *, needs_token: bool = True) -> Target | None:
    """Return the target as `resolve_target` does, and start nothing.

    None if it is the local engine, and that does not run. Without `needs_token` Fly is a target without one too. Raises
    TargetError.
    """
    if name_of_target(environment, name) != LOCAL:
        return _remote(environment, name, needs_token=needs_token)
    from reconciler.engine.server.daemon import engine_status

    status = engine_status(engine_home(environment))
    return _running_engine(environment, status) if status.running else None


def name_of_target(environment: Mapping[str, str], name: str | None = None) -> str:
    """Return what the user calls the target."""
    return name or environment.get("RECONCILER_TARGET") or FLY


def _remote(environment: Mapping[str, str], name: str | None, *, needs_token: bool = True) -> Target:
    from reconciler.machines_api import access

    name = name_of_target(environment, name)
    if name == FLY:
        base_url = access.api_base_url(environment)
        token: Secret | None = _fly_token(environment) if needs_token or token_source(environment) else None
    elif "://" in name or "@" in name:
        base_url = access.parse_target_url(name)
        token = _environment_token(environment)
    else:
        raise TargetError(f"unknown target {name!r}", hint=_hint_for_target(name))
    logs_url = access.logs_base_url(base_url, environment)
    is_fly = logs_url == access.FLY_LOGS_URL or "fly.io" in logs_url
    return Target(
        name=name,
        base_url=base_url,
        logs_url=logs_url,
        token=token,
        is_paced=_is_paced(environment, is_fly=is_fly),
        log_delay_s=3.0 if is_fly else 0.5,
    )


def _hint_for_target(name: str) -> str:
    """Return which target was probably meant, or what there is."""
    import difflib  # only for a misspelt target

    near = difflib.get_close_matches(name.lower(), (FLY, LOCAL), n=1)
    return f"did you mean `{near[0]}`?" if near else f"use {FLY}, {LOCAL}, or the URL of a Machines API: https://…"


def _local(environment: Mapping[str, str]) -> Target:
    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import start_engine

    home = engine_home(environment)
    try:
        status = start_engine(home, runtime=environment.get("RECONCILER_RUNTIME") or "process")
    except EngineStartError as error:
        raise _not_started(error, home) from error
    return _running_engine(environment, status)


def _running_engine(environment: Mapping[str, str], status: "EngineStatus") -> Target:
    """Return the local engine that runs. Raises TargetError."""
    from reconciler.engine.errors import EngineStartError
    from reconciler.engine.server.daemon import engine_status, read_token

    home = engine_home(environment)
    runtime = environment.get("RECONCILER_RUNTIME")
    try:
        token = read_token(home)
    except EngineStartError as error:
        raise _not_started(error, home) from error
    if runtime and runtime != status.runtime:
        raise TargetError(
            f"the local engine runs already, with the {status.runtime} runtime and not {runtime}",
            hint="`reconciler engine stop` first",
        )
    assert status.url is not None
    return Target(
        name=LOCAL,
        base_url=status.url,
        logs_url=status.url,
        token=Secret(token),
        is_paced=_is_paced(environment, is_fly=False),
        log_delay_s=0.0,
        runs_on_host=status.runtime == "process",
        container_host=status.container_host,
        local=LocalEngine(
            find_url=lambda: engine_status(home).url, start=f"reconciler engine start --runtime {status.runtime}"
        ),
    )


def _not_started(error: "EngineStartError", home: Path) -> TargetError:
    hint = error.remedy or f"its files are in {home}"
    return TargetError(f"the local engine does not start: {error}", hint=hint)


def token_source(environment: Mapping[str, str], name: str | None = None) -> str | None:
    """Return where the target's token is found: a variable, or flyctl's file.

    None if there is none. Raises TargetError.
    """
    from reconciler.machines_api.access import find_token

    is_fly = name_of_target(environment, name) == FLY
    found = find_token(environment, lambda: _flyctl_config(environment) if is_fly else None)
    return found[1] if found else None


def _fly_token(environment: Mapping[str, str]) -> Secret:
    from reconciler.machines_api.access import find_token

    found = find_token(environment, lambda: _flyctl_config(environment))
    if found is None:
        raise TargetError(
            "no token for the Machines API",
            hint="run `fly auth login`, or set FLY_API_TOKEN to the output of `fly tokens create deploy`;"
            " or try it without an account: --target local",
        )
    return found[0]


def _environment_token(environment: Mapping[str, str]) -> Secret | None:
    """Return the token for a URL of the user's own.

    It comes from the environment only, never from what flyctl stored for Fly.
    """
    from reconciler.machines_api.access import find_token

    found = find_token(environment, lambda: None)
    return found[0] if found else None


def _flyctl_config(environment: Mapping[str, str]) -> str | None:
    directory = Path(environment.get("FLY_CONFIG_DIR") or "~/.fly").expanduser()
    try:
        return (directory / "config.yml").read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _is_paced(environment: Mapping[str, str], *, is_fly: bool) -> bool:
    rate = environment.get("RECONCILER_RATE") or ("fly" if is_fly else "off")
    if rate not in {"fly", "off"}:
        raise TargetError(f"RECONCILER_RATE is {rate!r}", hint="use off or fly")
    return rate == "fly"


def who_asks(environment: Mapping[str, str]) -> str:
    """Return who holds a lease: a pipeline's run, else user and host.

    So a holder can be found. Nobody typed it, so what of it is not UTF-8 is replaced.
    """
    return replaced(_who_asks(environment))


def _who_asks(environment: Mapping[str, str]) -> str:
    if environment.get("GITHUB_RUN_ID"):
        server = environment.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{environment.get('GITHUB_REPOSITORY', '')}/actions/runs/{environment['GITHUB_RUN_ID']}"
    if environment.get("CI_JOB_URL"):
        return environment["CI_JOB_URL"]
    space = pid_space()
    return f"{this_user()} pid {os.getpid()}" + (f" in {space}" if space else "")


def pid_space() -> str | None:
    """Return where this process's number counts; None if the system does not tell.

    It is the host's boot and the PID namespace, which only Linux tells.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except (OSError, UnicodeDecodeError):
        return None
    import hashlib

    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def this_user() -> str:
    """Return `user@host`."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return replaced(f"{user}@{socket.gethostname()}")

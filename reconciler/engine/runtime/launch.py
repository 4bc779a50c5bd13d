"""Make the launch of a machine from its record: commands, files, environment."""

from collections.abc import Mapping

from msgspec.structs import replace

from reconciler.engine.config.read import commands_of, files_of, limits_of, local_context, mounts_of, text_map
from reconciler.engine.models import Machine
from reconciler.engine.runtime.base import Command, Launch
from reconciler.engine.secrets import Secrets
from reconciler.engine.volumes import Volumes


def launch_of(
    machine: Machine, secrets: Secrets, volumes: Volumes, ports: Mapping[int, int], port_style: str
) -> Launch:
    """Return the launch of the machine's next start, with the current secrets.

    `ports` are ports of this host by internal port. With `port_style` host, the variable PORT is the first of them:
    several machines cannot listen on the same port.
    """
    config = machine.config
    port_variable = {"PORT": str(next(iter(ports.values())))} if ports and port_style == "host" else {}
    mounts = ((volumes.directory(volume), path) for volume, path in mounts_of(config))
    return Launch(
        machine_id=machine.id,
        name=machine.name,
        number=machine.runs,
        image=str(config.get("image") or ""),
        commands=tuple(
            replace(command, env=_environment(machine, command, secrets) | port_variable)
            for command in commands_of(config)
        ),
        files=tuple(
            (file.path, secrets.content(machine.app, file.secret) if file.secret else file.content, file.mode)
            for file in files_of(config)
        ),
        limits=limits_of(config),
        mounts=tuple((directory, path) for directory, path in mounts if directory),
        ports=tuple(ports.items()) if port_style == "published" else (),
        has_terminal=bool((config.get("init") or {}).get("tty")),
        context=local_context(config),
    )


def _environment(machine: Machine, command: Command, secrets: Secrets) -> dict[str, str]:
    """Return the environment.

    A secret overrides a variable of the same name; the platform's own win always.
    """
    all_secrets = secrets.environment(machine)
    platform = _platform_environment(machine)
    named = {variable: all_secrets[name] for variable, name in command.secrets if name in all_secrets}
    fields = {variable: platform[_FIELDS[name]] for variable, name in command.fields if name in _FIELDS}
    environment = text_map(machine.config.get("env")) | (all_secrets if command.takes_secrets else {})
    return environment | dict(command.env) | named | fields | platform


_FIELDS = {
    "id": "FLY_MACHINE_ID",
    "version": "FLY_MACHINE_VERSION",
    "app_name": "FLY_APP_NAME",
    "private_ip": "FLY_PRIVATE_IP",
    "region": "FLY_REGION",
    "image": "FLY_IMAGE_REF",
}


def _platform_environment(machine: Machine) -> dict[str, str]:
    metadata = machine.config.get("metadata") or {}
    group = {"FLY_PROCESS_GROUP": metadata["fly_process_group"]} if metadata.get("fly_process_group") else {}
    return group | {
        "FLY_APP_NAME": machine.app,
        "FLY_MACHINE_ID": machine.id,
        "FLY_ALLOC_ID": machine.id,
        "FLY_REGION": machine.region,
        "FLY_IMAGE_REF": str(machine.config.get("image") or ""),
        "FLY_MACHINE_VERSION": machine.instance_id,
        "FLY_PRIVATE_IP": "127.0.0.1",
        "FLY_VM_MEMORY_MB": str(limits_of(machine.config).memory_mb),
        "PRIMARY_REGION": machine.region,
    }

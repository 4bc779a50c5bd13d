"""What a start of a machine runs: its commands, files, limits and environment, from its record."""

from dataclasses import replace

from reconciler.engine import config as configs
from reconciler.engine.records import Machine
from reconciler.engine.runtime import Launch


def launch_of(machine: Machine) -> Launch:
    """The launch of the machine's next start."""
    environment = dict(machine.config.get("env") or {}) | _platform_environment(machine)
    return Launch(
        machine_id=machine.id,
        name=machine.name,
        number=machine.runs,
        image=str(machine.config.get("image") or ""),
        commands=tuple(
            replace(command, env=environment | dict(command.env)) for command in configs.commands_of(machine.config)
        ),
        files=tuple(configs.files_of(machine.config)),
        limits=configs.limits_of(machine.config),
        has_terminal=bool((machine.config.get("init") or {}).get("tty")),
        context=configs.local_context(machine.config),
    )


def _platform_environment(machine: Machine) -> dict[str, str]:
    guest = machine.config.get("guest") or {}
    metadata = machine.config.get("metadata") or {}
    group = {"FLY_PROCESS_GROUP": str(metadata["fly_process_group"])} if metadata.get("fly_process_group") else {}
    return group | {
        "FLY_APP_NAME": machine.app,
        "FLY_MACHINE_ID": machine.id,
        "FLY_ALLOC_ID": machine.id,
        "FLY_REGION": machine.region,
        "FLY_IMAGE_REF": str(machine.config.get("image") or ""),
        "FLY_MACHINE_VERSION": machine.instance_id,
        "FLY_PRIVATE_IP": "127.0.0.1",
        "FLY_VM_MEMORY_MB": str(guest.get("memory_mb") or 256),
        "PRIMARY_REGION": machine.region,
    }

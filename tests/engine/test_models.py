"""The engine's records do not show values of secrets, variables and files in a repr."""

from pathlib import PurePosixPath

from reconciler.engine.models import Lease, Machine, Secret
from reconciler.engine.runtime.base import Command, Launch, Limits

CANARY = "canary"


def test_values_do_not_show_in_a_repr() -> None:
    lease = Lease(nonce=CANARY, expires_at=0.0, owner="", description="", version="")
    machine = Machine(
        id="m",
        app="app",
        name="work-iad-0",
        region="iad",
        state="stopped",
        instance_id="",
        config={"env": {"KEY": CANARY}},
        created_ms=0,
        updated_ms=0,
        lease=lease,
    )
    launch = Launch(
        machine_id="m",
        name="work-iad-0",
        number=1,
        image="i",
        commands=(Command(env={"KEY": CANARY}),),
        files=((PurePosixPath("f"), CANARY.encode(), 0o644),),
        limits=Limits(memory_mb=256, cpus=1),
    )
    secret = Secret(app="app", name="KEY", value=CANARY, version=1, created_ms=0, updated_ms=0)
    assert CANARY not in repr((machine, launch, secret))
    assert "work-iad-0" in repr(machine)

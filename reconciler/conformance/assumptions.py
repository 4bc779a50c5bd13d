"""Probe the documented assumptions about leases, versions, names and metadata.

They are in docs/explanation/protocols.md. The assumptions about runs are in `run_assumptions`.
"""

import asyncio
from typing import Final

from reconciler.conformance import probe
from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.probe import cannot, expect, needs
from reconciler.conformance.reading import lease_of, version_of
from reconciler.engine.faults.settings import Behaviour
from reconciler.errors import ApiErrorKind
from reconciler.machines_api.values import list_of

_DESCRIPTION: Final = "reconciler conform: is this told?"
_KEYS: Final = 40  # of 200 bytes each: 8 KB
_SHORT_LEASE_S: Final = 3
_EXPIRES_WITHIN_S: Final = 30


async def _lease_description(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    async with lab.leased(machine_id, description=_DESCRIPTION):
        answer = await lab.ask("GET", "/lease", machine_id)
        expect(answer.is_success, f"GET lease answers {answer.words}")
        told = lease_of(answer).get("description")
        return expect(told == _DESCRIPTION, f"the description is {lab.api.shown(repr(told))}")


async def _omitted_metadata(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    written = await lab.ask("POST", "/metadata/conform_omitted", machine_id, body={"value": "x"})
    needs(written.is_success, f"no metadata can be written: {written.words}")
    await lab.make_version(machine_id)
    machine = await lab.until_state(machine_id, "stopped")
    kept = "conform_omitted" in ((machine.get("config") or {}).get("metadata") or {})
    return expect(not kept, "the omitted key is there still" if kept else "the omitted key is gone")


async def _eight_kilobytes(lab: Laboratory) -> str:
    keys = {f"conform_{number:02d}": "x" * 200 for number in range(_KEYS - 1)}
    answer = await lab.try_to_create("short", lab.new_name("full"), metadata=keys)
    expect(answer.is_success, f"a create with 8 KB of metadata answers {answer.words}")
    machine_id = str(answer.members.get("id"))
    try:
        await lab.until_state(machine_id, "stopped", "created")
        written = await lab.ask("POST", "/metadata/conform_last", machine_id, body={"value": "x" * 200})
        expect(written.kind is not ApiErrorKind.BAD_INPUT, f"a further key answers {written.words}")
        needs(written.is_success, f"no metadata can be written: {written.words}")
        found = ((await lab.look(machine_id)).get("config") or {}).get("metadata") or {}
        ours = [key for key in found if key.startswith("conform_")]
        return expect(len(ours) == _KEYS, f"{len(ours)} of {_KEYS} keys are there")
    finally:
        await lab.ask("DELETE", "", machine_id, query={"force": "true"})


async def _user_config(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    before = await lab.look(machine_id)
    await lab.make_version(machine_id)
    await lab.until_state(machine_id, "stopped")
    listed = await lab.ask("GET", "/versions", machine_id)
    expect(listed.is_success, f"GET versions answers {listed.words}")
    configs = {str(one.get("version")): one.get("user_config") for one in list_of(listed.body) if isinstance(one, dict)}
    names = (version_of(before), str(before.get("instance_id")))
    kept = next((configs[name] for name in names if name in configs), None)
    env = kept.get("env") if isinstance(kept, dict) else None
    sent = (before.get("config") or {}).get("env")
    return expect(env == sent, f"{len(configs)} versions, the one before {'as it was sent' if env == sent else 'not'}")


async def _stale_version(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    old = version_of(await lab.look(machine_id))
    needs(old, "the machine has no version")
    needs((await lab.update(machine_id, guard=old)).is_success, "an update with the current version is refused")
    current = version_of(await lab.until_state(machine_id, "stopped"))
    answer = await lab.update(machine_id, guard=old)
    after = version_of(await lab.until_state(machine_id, "stopped"))
    expect(after == current and not answer.is_success, f"the update is done all the same: {answer.words}")
    return expect(answer.status == Behaviour().stale_version_status, answer.words)


async def _expired_nonce(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    async with lab.leased(machine_id, ttl_s=_SHORT_LEASE_S) as nonce:
        deadline = lab.clock.monotonic() + _EXPIRES_WITHIN_S
        while (await lab.ask("GET", "/lease", machine_id)).is_success:
            needs(lab.clock.monotonic() < deadline, f"a lease of {_SHORT_LEASE_S} s does not expire")
            await lab.clock.sleep(1)
        answer = await lab.update(machine_id, nonce=nonce)
        await lab.until_state(machine_id, "stopped")
        return expect(answer.is_success, f"an update with the expired nonce answers {answer.words}")


async def _unique_name(lab: Laboratory) -> str:
    name = lab.new_name("name")
    answers = await asyncio.gather(lab.try_to_create("short", name), lab.try_to_create("short", name))
    made = [str(answer.members.get("id")) for answer in answers if answer.is_success]
    try:
        refused = next((answer for answer in answers if not answer.is_success), None)
        needs(made, f"no machine can be made: {answers[0].words}")
        expect(refused is not None, "two machines of one name were made")
        assert refused is not None
        expect(refused.kind is ApiErrorKind.NAME_TAKEN, refused.words)
        await lab.until_state(made[0], "stopped", "created")
        await lab.ask("DELETE", "", made[0], query={"force": "true"})
        again = await lab.try_to_create("short", name)
        if again.is_success:
            made.append(str(again.members.get("id")))
            state = await lab.state(made[0])
            expect(state != "destroying", "the name was given again while its machine was `destroying`")
            return f"{refused.words}; `destroying` was over before the name was asked for again"
        expect(again.kind is ApiErrorKind.NAME_TAKEN, again.words)
        return f"{refused.words}; so too while `destroying`"
    finally:
        for machine_id in made:
            await lab.ask("DELETE", "", machine_id, query={"force": "true"})


async def _metadata_at_rest(lab: Laboratory) -> str:
    machine_id = await lab.in_state("stopped")
    before = version_of(await lab.look(machine_id))
    answer = await lab.ask("POST", "/metadata/conform_rest", machine_id, body={"value": "y"})
    expect(answer.is_success, f"a write answers {answer.words}")
    machine = await lab.look(machine_id)
    value = ((machine.get("config") or {}).get("metadata") or {}).get("conform_rest")
    expect(
        value == "y", f"a write answers {answer.words}, and the key is {'not there' if value is None else 'another'}"
    )
    is_same = version_of(machine) == before
    return expect(
        is_same, "it is written, with a new version" if not is_same else "it is written, without a new version"
    )


async def _metadata_while_running(lab: Laboratory) -> str:
    """Try whether META leaves a running machine as it is (A19)."""
    machine_id = await lab.in_state("started")
    before, events = version_of(await lab.look(machine_id)), await lab.events(machine_id)
    answer = await lab.ask("POST", "/metadata/conform_running", machine_id, body={"value": "z"})
    needs(answer.is_success, f"no metadata can be written: {answer.words}")
    machine, known = await lab.look(machine_id), {one.get("id") for one in events}
    expect(version_of(machine) == before, "it is written, with a new version")
    newer = {str(one.get("type")) for one in await lab.events(machine_id) if one.get("id") not in known}
    is_running = machine.get("state") == "started" and not newer & {"start", "restart", "exit", "update"}
    return expect(
        is_running,
        "it is written, and the machine runs on"
        if is_running
        else f"it is written, and the machine is {machine.get('state')} after {', '.join(sorted(newer))}",
    )


ASSUMPTIONS: Final = (
    probe.assumption("A1", "GET lease returns the description", "LEASE, GET lease", _lease_description),
    probe.assumption(
        "A2",
        "rate limits are counted for each app or machine, whoever calls",
        "none",
        cannot("this needs two callers, each with a token"),
    ),
    probe.assumption(
        "A4", "UPDATE drops the metadata that it omits", "META, UPDATE without that key, GET", _omitted_metadata
    ),
    probe.assumption(
        "A5",
        "8 KB of metadata are accepted",
        "CREATE with 39 keys of 200 bytes, META, GET",
        _eight_kilobytes,
        machines=1,
    ),
    probe.assumption("A6", "versions keep their `user_config`", "UPDATE, GET versions", _user_config),
    probe.assumption(
        "A7",
        f"UPDATE with a stale `current_version` is refused with {Behaviour().stale_version_status}",
        "UPDATE, UPDATE with the version before, GET",
        _stale_version,
    ),
    probe.assumption(
        "A10",
        "a nonce that has expired is accepted while nobody holds a lease",
        "LEASE, wait until it has expired, UPDATE with its nonce",
        _expired_nonce,
    ),
    probe.assumption(
        "A11",
        "a name is unique at once, and taken until its machine is destroyed",
        "two CREATEs of one name at once, DELETE, CREATE",
        _unique_name,
        machines=2,
    ),
    probe.assumption(
        "A12",
        "proxy and scheduler heed no leases",
        "none",
        cannot("this needs a public address, or an hour"),
    ),
    probe.assumption(
        "A13",
        "a migration may change `instance_id`",
        "none",
        cannot("no call causes a migration"),
    ),
    probe.assumption("A16", "META works on a resting machine", "META, GET", _metadata_at_rest),
    probe.assumption(
        "A19",
        "META makes no new version, and a running machine runs on",
        "META, GET, GET events",
        _metadata_while_running,
    ),
)

"""A small client of the Machines API: runs a command on a machine of its own, and waits for its exit code."""

import secrets

import httpx


def start_and_wait(api: httpx.Client, app: str, config: dict, attempts: int = 3) -> int:
    """The exit code of the config's command. `api` has the base URL, the token, and a timeout above a minute."""
    machine = create(api, app, config, attempts)
    place = f"/apps/{app}/machines/{machine['id']}"
    while True:
        reply = api.get(f"{place}/wait", params={"state": "stopped", "version": machine["version"]})
        if reply.status_code != 408:  # 408 is a wait that is over before the run is
            reply.raise_for_status()
            break
    events = api.get(f"{place}/events", params={"limit": 50}).raise_for_status().json()
    code = next(event["request"]["exit_event"]["exit_code"] for event in events if event["type"] == "exit")
    api.delete(place, params={"force": "true"}).raise_for_status()
    return code


def create(api: httpx.Client, app: str, config: dict, attempts: int) -> dict:
    """One new machine, however many attempts it takes: names are unique in an app, so a second one cannot be."""
    name = f"run-{secrets.token_hex(4)}"
    for attempt in range(1, attempts + 1):
        try:
            reply = api.post(f"/apps/{app}/machines", json={"name": name, "config": config})
        except httpx.TransportError:
            if attempt == attempts:
                raise
            continue
        if reply.status_code == 409 and "already exists" in reply.text:
            machines = api.get(f"/apps/{app}/machines").raise_for_status().json()
            return next(machine for machine in machines if machine["name"] == name)
        return reply.raise_for_status().json()
    raise ValueError("attempts must be 1 or more")

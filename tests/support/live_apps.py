"""Live machines as `fly deploy` and others make them, in the API's JSON, and what an import makes of them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from reconciler.drafts.live_machines import LiveApp, LiveDraft, draft_of
from reconciler.drafts.variables import Variables
from reconciler.drafts.write import write_draft
from reconciler.machines_api.wire import machines_from_json
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.spec import Spec
from reconciler.operations.import_proof import disproof
from reconciler.spec import load_spec

AT = datetime(2026, 9, 1, tzinfo=UTC)
DIGEST = "sha256:" + "0a1b2c3d" * 8
IMAGE = f"registry.fly.io/shop:deployment-01JD8Z5XKQ2W3E4R5T6Y7U8I9P@{DIGEST}"
GROUP = "fly_process_group"


def fly_metadata(group: str) -> dict[str, str]:
    """What `fly deploy` writes on a machine of this process group."""
    return {
        "fly_platform_version": "v2",
        GROUP: group,
        "fly_release_id": "rel_1",
        "fly_release_version": "7",
        "fly_flyctl_version": "0.3.200",
    }


def web_config(**changed: Any) -> dict[str, Any]:
    """What `fly deploy` sends for an `http_service` with a check."""
    return {
        "image": IMAGE,
        "env": {"APP_ENV": "production", "FLY_PROCESS_GROUP": "web", "PRIMARY_REGION": "iad"},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024},
        "init": {},
        "metadata": fly_metadata("web"),
        "restart": {"policy": "on-failure", "max_retries": 10},
        "services": [
            {
                "protocol": "tcp",
                "internal_port": 8080,
                "autostart": True,
                "autostop": True,
                "min_machines_running": 1,
                "force_instance_key": None,
                "ports": [
                    {"port": 80, "handlers": ["http"], "force_https": True},
                    {"port": 443, "handlers": ["http", "tls"]},
                ],
                "concurrency": {"type": "requests", "soft_limit": 200, "hard_limit": 250},
                "checks": [{"type": "http", "port": 8080, "path": "/up", "interval": "15s", "timeout": "2s"}],
            }
        ],
    } | changed


def worker_config(group: str = "worker", **changed: Any) -> dict[str, Any]:
    """What `fly deploy` sends for a group without services."""
    config = {key: value for key, value in web_config().items() if key != "services"}
    return config | {"metadata": fly_metadata(group), "init": {"cmd": ["php", "artisan", "queue:work"]}} | changed


def machine_json(number: int, config: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """One machine of a list; the number tells it from others."""
    return {
        "id": f"e{number:013x}",
        "name": f"weathered-frog-{7000 + number}",
        "state": "started",
        "region": "iad",
        "instance_id": f"01{number:024d}",
        "created_at": f"2026-03-01T00:{number // 60:02d}:{number % 60:02d}Z",
        "config": dict(config),
        "events": [],
    } | changed


def observed(machines: Iterable[Mapping[str, Any]], *, app: str = "shop") -> Observed:
    """A snapshot of an app with these machines."""
    seen = machines_from_json(app, list(machines))
    return Observed(apps={app: ObservedApp(name=app, exists=True, machines=seen)}, at=AT)


def imported(seen: Observed, variables: Variables | None = None, *, app: str = "shop", **options: Any) -> LiveDraft:
    """The draft of the snapshot's machines; options are those of LiveApp."""
    live = LiveApp(name=app, machines=seen.machines, at=seen.at, stack="shop", **options)
    return draft_of(live, variables or Variables())


def text_of(found: LiveDraft) -> str:
    assert not found.problems
    assert found.draft is not None
    return write_draft(found.draft)


def proven(seen: Observed, *, app: str = "shop", shows_files: bool = False) -> tuple[str, Spec]:
    """The text of the spec, and what is loaded of it, once it is proven."""
    variables = Variables(shows_files=shows_files)
    found = imported(seen, variables, app=app)
    text = text_of(found)
    spec = load_spec(text, file="machines.yaml", environment=variables.values)
    assert disproof(spec, seen, found.machine_ids) == [], text
    return text, spec

"""Volumes of apps: directories that outlive their machines.

One machine at a time mounts a volume.
"""

import asyncio
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from reconciler.clock import Clock, now_ms
from reconciler.engine.config.read import concrete_region, volumes_of, whole_number
from reconciler.engine.errors import ApiFault, bad_request, not_found
from reconciler.engine.models import Machine, Snapshot, Volume
from reconciler.engine.store.store import Store

_NAME: Final = re.compile(r"[a-z0-9_]{1,30}")
_DEFAULT_GB: Final = 3
_LARGEST_GB: Final = 500
_DEFAULT_RETENTION: Final = 5
_LONGEST_RETENTION: Final = 60


class Volumes:
    """The volumes of all apps, below the directory `root`.

    Without a root they are records without files.
    """

    def __init__(self, store: Store, clock: Clock, root: Path | None) -> None:
        self._store = store
        self._clock = clock
        self._root = root

    def of(self, app: str) -> list[Volume]:
        """Return the app's volumes."""
        return [volume for volume in self._store.volumes if volume.app == app]

    def one(self, app: str, volume_id: str) -> Volume:
        """Return one volume. Raises ApiFault where the app has none with this id."""
        volume = self._store.volumes.get(volume_id)
        if volume is None or volume.app != app:
            raise not_found("volume")
        return volume

    def machine_of(self, volume: Volume) -> Machine | None:
        """Return the machine that mounts the volume, if any."""
        holders = (
            machine
            for machine in self._store.machines(volume.app)
            if not machine.is_destroyed and volume.id in volumes_of(machine.config)
        )
        return next(holders, None)

    async def create(self, app: str, body: dict[str, Any]) -> Volume:
        """Create a volume, empty or with the content of another volume or a snapshot.

        Raises ApiFault.
        """
        name = body.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad_request("invalid volume name: lower-case letters, digits and underscores, 30 at most")
        source = self._source(app, body)
        at = now_ms(self._clock)
        volume = Volume(
            id=f"vol_{secrets.token_hex(8)}",
            app=app,
            name=name,
            region=concrete_region(body.get("region")),
            size_gb=_size(body.get("size_gb") or _DEFAULT_GB),
            fstype=_fstype(body.get("fstype")),
            encrypted=_flag(body, "encrypted", default=True),
            snapshot_retention=_retention(body.get("snapshot_retention", _DEFAULT_RETENTION)),
            auto_backup_enabled=_flag(body, "auto_backup_enabled", default=True),
            required_host_features=_features(body.get("compute")),
            created_ms=at,
            updated_ms=at,
        )
        await self._fill(volume.id, source)
        return self._store.volumes.put(volume.id, volume)

    def _source(self, app: str, body: dict[str, Any]) -> str | None:
        """Return the name of the directory to copy; None for an empty volume."""
        if volume_id := body.get("source_volume_id"):
            return self.one(app, str(volume_id)).id
        if snapshot_id := body.get("snapshot_id"):
            if self._store.snapshots.get(str(snapshot_id)) is None:
                raise not_found("snapshot")
            return str(snapshot_id)
        return None

    def update(self, app: str, volume_id: str, body: dict[str, Any]) -> Volume:
        """Change the settings of backups. Raises ApiFault."""
        volume = self.one(app, volume_id)
        return self._save(
            replace(
                volume,
                snapshot_retention=_retention(body.get("snapshot_retention", volume.snapshot_retention)),
                auto_backup_enabled=_flag(body, "auto_backup_enabled", default=volume.auto_backup_enabled),
            )
        )

    def extend(self, app: str, volume_id: str, body: dict[str, Any]) -> Volume:
        """Make the volume larger. Raises ApiFault, also for a smaller size."""
        volume, size_gb = self.one(app, volume_id), _size(body.get("size_gb"))
        if size_gb < volume.size_gb:
            raise bad_request(f"volume {volume.id} has {volume.size_gb} GB already, and cannot get smaller")
        return self._save(replace(volume, size_gb=size_gb))

    def destroy(self, app: str, volume_id: str) -> Volume:
        """Delete the volume. Raises ApiFault while a machine mounts it."""
        volume = self.one(app, volume_id)
        if holder := self.machine_of(volume):
            text = f"failed_precondition: volume is currently bound to machine: {holder.id}"
            raise ApiFault(412, text)
        self._forget(volume)
        return replace(volume, state="pending_destroy")

    def forget(self, app: str) -> None:
        """Delete the volumes of an app that is deleted."""
        for volume in self.of(app):
            self._forget(volume)

    def _forget(self, volume: Volume) -> None:
        self._store.volumes.remove(volume.id)
        if self._root:
            shutil.rmtree(self._root / volume.id, ignore_errors=True)

    def snapshots(self, app: str, volume_id: str) -> list[Snapshot]:
        """Return the volume's snapshots, newest first. Raises ApiFault."""
        volume = self.one(app, volume_id)
        found = [one for one in self._store.snapshots if one.volume_id == volume.id]
        return sorted(found, key=lambda one: one.created_ms, reverse=True)

    async def snapshot(self, app: str, volume_id: str) -> Snapshot:
        """Copy the volume's content into a new snapshot. Raises ApiFault."""
        volume = self.one(app, volume_id)
        snapshot = Snapshot(
            id=f"vs_{secrets.token_hex(8)}",
            volume_id=volume.id,
            size=await asyncio.to_thread(self.bytes_used, volume),
            volume_size=volume.size_gb * 2**30,
            retention_days=volume.snapshot_retention,
            created_ms=now_ms(self._clock),
        )
        await self._fill(snapshot.id, volume.id)
        return self._store.snapshots.put(snapshot.id, snapshot)

    def check_mounts(self, app: str, config: dict[str, Any], machine_id: str | None = None) -> None:
        """Raise ApiFault where a volume is missing, or another machine mounts it."""
        for volume_id in volumes_of(config):
            if not volume_id:
                continue
            volume = self._store.volumes.get(str(volume_id))
            if volume is None or volume.app != app:
                raise bad_request(f"volume {volume_id} not found")
            holder = self.machine_of(volume)
            if holder and holder.id != machine_id:
                raise ApiFault(412, f"failed_precondition: volume already claimed by machine: {holder.id}")

    def directory(self, volume_id: str) -> Path | None:
        """Return the directory of the volume's files on this host."""
        return self._root / volume_id if self._root else None

    def bytes_used(self, volume: Volume) -> int:
        """Return the size of the volume's files, in bytes."""
        used = 0
        for folder, _, names in os.walk(self._root / volume.id) if self._root else ():
            for name in names:
                try:
                    used += (Path(folder) / name).lstat().st_size
                except OSError:
                    continue
        return used

    async def _fill(self, name: str, source: str | None) -> None:
        if self._root is None:
            return
        target = self._root / name
        try:
            if source and (self._root / source).is_dir():
                await asyncio.to_thread(shutil.copytree, self._root / source, target, symlinks=True)
            else:
                target.mkdir(parents=True, mode=0o700)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(target, ignore_errors=True)
            raise ApiFault(503, f"unavailable: the volume cannot be written: {error}") from error

    def _save(self, volume: Volume) -> Volume:
        return self._store.volumes.put(volume.id, replace(volume, updated_ms=now_ms(self._clock)))


def _size(value: Any) -> int:
    size_gb = whole_number(value, "size_gb")
    if not 1 <= size_gb <= _LARGEST_GB:
        raise bad_request(f"size_gb must be between 1 and {_LARGEST_GB}")
    return size_gb


def _retention(value: Any) -> int:
    days = whole_number(value if value is not None else _DEFAULT_RETENTION, "snapshot_retention")
    if not 1 <= days <= _LONGEST_RETENTION:
        raise bad_request(f"snapshot_retention must be between 1 and {_LONGEST_RETENTION}")
    return days


def _fstype(value: Any) -> str:
    if value not in {None, "", "ext4", "raw"}:
        raise bad_request("fstype must be ext4 or raw")
    return str(value or "ext4")


def _features(compute: Any) -> tuple[str, ...]:
    wanted = compute.get("required_host_features") if isinstance(compute, dict) else None
    if wanted is not None and not (isinstance(wanted, list) and all(isinstance(one, str) for one in wanted)):
        raise bad_request("compute.required_host_features must be an array of strings")
    return tuple(wanted or ())


def _flag(body: dict[str, Any], key: str, *, default: bool) -> bool:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise bad_request(f"{key} must be true or false")
    return default if value is None else value

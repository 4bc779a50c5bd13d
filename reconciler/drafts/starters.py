"""The first spec of a directory without a fly.toml.

It is short, and has a task that can be invoked at once.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from reconciler.drafts.dockerfile import ImageCommand
from reconciler.drafts.heading import put_heading
from reconciler.drafts.nodes import Draft, DraftMap, block, flow

# By the file that tells the framework: the task, its command, args to try, and args that people want.
_FRAMEWORKS: Final[Mapping[str, tuple[str, list[str], str, str]]] = {
    "artisan": ("artisan", ["php", "artisan"], "about", "migrate --force"),
    "manage.py": ("manage", ["python3", "manage.py"], "check", "migrate --noinput"),
    "bin/rails": ("rails", ["bin/rails"], "about", "db:migrate"),
}
_DOCKERFILE: Final = "Dockerfile"
FRAMEWORK_FILES: Final = tuple(_FRAMEWORKS)


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a directory has: the file of a framework, and what its Dockerfile runs.

    `context` is the directory, as seen from the spec's, `dockerfile` the file's name, as seen from the directory.
    """

    framework_file: str | None = None
    image: ImageCommand | None = None
    context: str = "."
    dockerfile: str = _DOCKERFILE


def starter(found: Surroundings, *, name: str, org: str, region: str) -> tuple[DraftMap, str]:
    """Return the draft, and the name of its task to try."""
    origin = "a Dockerfile" if found.image else f"{found.framework_file}" if found.framework_file else "nothing"
    draft = DraftMap()
    put_heading(draft, f"Written by `reconciler init` from {origin}.")
    draft.put("version", 1)
    draft.put("name", name, beside="the stack: the mark of the machines that it owns")
    shared = DraftMap()
    shared.put("regions", [region], beside="where the machines are")
    shared.put("guest", "shared-cpu-1x", beside="their size")
    draft.put("defaults", shared)
    app = DraftMap()
    app.put("org", org)
    task = _put_image_and_task(app, found)
    apps = DraftMap()
    apps.put(name, app, beside="the app's name on Fly, where names are global")
    draft.put("apps", apps)
    return draft, task


def _put_image_and_task(app: DraftMap, found: Surroundings) -> str:
    if found.framework_file:
        _put_build(app, found)
        return _put_framework(app, *_FRAMEWORKS[found.framework_file])
    if found.image is None:
        said = "not used on --target local, where commands run on this computer"
        app.put("image", "docker.io/library/alpine:3", beside=said)
        return _put_hello(app)
    _put_build(app, found)
    if found.image.port or not (found.image.command or found.image.entrypoint):
        _put_run(app)
        if found.image.port:
            app.put("services", block({"web": _web(found.image)}))
        return "run"
    pool = DraftMap()
    _put_words(pool, found.image)
    pool.put("timeout", "10m", beside="how long a run may take")
    _put_task(app, "job", pool, "reconciler invoke job")
    return "job"


def _put_build(app: DraftMap, found: Surroundings) -> None:
    said = "a directory with a Dockerfile" if found.image else "a directory; on Fly it needs a Dockerfile"
    named = flow({"context": found.context, "dockerfile": found.dockerfile})
    app.put("build", found.context if found.dockerfile == _DOCKERFILE else named, beside=said)


def _put_hello(app: DraftMap) -> str:
    app.put("env", flow({"GREETING": "hello"}))
    pool = DraftMap()
    pool.put("command", ["sh", "-c", 'echo "$GREETING from $FLY_MACHINE_ID"'])
    pool.put("overrides", flow({"env": ["GREETING"]}), beside="reconciler invoke hello -e GREETING=hi")
    pool.put("timeout", "10m", beside="how long a run may take")
    _put_task(app, "hello", pool, "reconciler invoke hello")
    return "hello"


def _put_run(app: DraftMap) -> None:
    pool = DraftMap()
    pool.put("args", ["ls", "-l"], beside="any command of the image: reconciler invoke run -- COMMAND")
    pool.put("overrides", flow({"args": True}))
    pool.put("timeout", "10m", beside="how long a run may take")
    _put_task(app, "run", pool, "reconciler invoke run")


def _put_framework(app: DraftMap, task: str, command: list[str], args: str, wanted: str) -> str:
    pool = DraftMap()
    pool.put("command", command)
    pool.put("args", [args], beside=f"reconciler invoke {task} -- {wanted}")
    pool.put("overrides", flow({"args": True}), beside="one run may have other args")
    pool.put("timeout", "10m", beside="how long a run may take")
    _put_task(app, task, pool, f"reconciler invoke {task}")
    return task


def _put_task(app: DraftMap, task: str, pool: DraftMap, words: str) -> None:
    tasks = DraftMap()
    tasks.put(task, pool, beside=f"rests until: {words}")
    app.put("tasks", tasks)


def _web(image: ImageCommand) -> Draft:
    pool = DraftMap()
    pool.say("A service runs all the time.")
    _put_words(pool, image)
    pool.put("ports", [image.port], beside="served at 80 and 443")
    return pool


def _put_words(pool: DraftMap, image: ImageCommand) -> None:
    """Add what the image runs.

    The local engine runs commands without their image.
    """
    if image.entrypoint:
        pool.put("entrypoint", list(image.entrypoint))
    if image.command:
        pool.put("command", list(image.command))

"""A small web app that runs a task on a machine of its own whenever someone asks for it.

POST /releases {"repository": "OWNER/REPO"}   starts a run, answers 202 with its id
GET  /runs/SLOT/ULID                           how it stands: 200 with its outcome once it has ended, else 202
GET  /runs/SLOT/ULID/log                       its output as it comes, to its end

Run it with `uvicorn --app-dir examples/web-app app:app`. The environment says where the machines are, as for the
command (`RECONCILER_TARGET=local`, or a token), and APP whose tasks they are.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from reconciler import AsyncRun, AsyncTasks, NotStartedError, OutcomeName, ReconcilerError

TASK = "get-release"


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with AsyncTasks(os.environ.get("APP", "on-demand")) as tasks:
        app.state.tasks = tasks
        yield


async def start(request: Request) -> Response:
    """Starts a run. A client that repeats its request with the same Idempotency-Key gets the same run."""
    repository = (await request.json()).get("repository", "")
    try:
        run = await request.app.state.tasks.invoke(
            TASK, args=[repository], key=request.headers.get("idempotency-key"), queue_timeout_s=20
        )
    except NotStartedError as error:
        status = 503 if error.outcome.name is OutcomeName.BUSY else 502
        return JSONResponse({"error": error.message, "outcome": error.outcome.name.value}, status_code=status)
    return JSONResponse({"run": run.id}, status_code=202, headers={"Location": f"/runs/{run.id}"})


async def show(request: Request) -> Response:
    run = await _run(request)
    if run is None:
        return JSONResponse({"error": "there is no such run"}, status_code=404)
    outcome = run.info.outcome
    if outcome is None:
        return JSONResponse({"run": run.id, "state": run.info.state.value}, status_code=202)
    return JSONResponse({"run": run.id, "outcome": outcome.name.value, "exit_code": outcome.task_code})


async def log(request: Request) -> Response:
    run = await _run(request)
    if run is None:
        return JSONResponse({"error": "there is no such run"}, status_code=404)
    lines = (f"{line.message}\n" async for line in run.logs())
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8")


async def _run(request: Request) -> AsyncRun | None:
    """The run of the URL, whichever process of this app started it."""
    try:
        return await request.app.state.tasks.find(request.path_params["run"])
    except ReconcilerError:
        return None


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/releases", start, methods=["POST"]),
        Route("/runs/{run:path}/log", log),
        Route("/runs/{run:path}", show),
    ],
)

"""A small web app as a service beside its task: `uvicorn tests.support.web_app:app` runs it.

POST /releases {"repository": "OWNER/REPO"} starts a run, GET /runs/ID shows how it stands, GET /runs/ID/log its output.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from reconciler import AsyncRun, AsyncTasks


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with AsyncTasks(os.environ["APP"]) as tasks:
        app.state.tasks = tasks
        yield


async def start(request: Request) -> Response:
    wanted = await request.json()
    run = await request.app.state.tasks.invoke("get-release", args=[wanted["repository"]])
    return JSONResponse({"run": run.id}, status_code=202, headers={"Location": f"/runs/{run.id}"})


async def show(request: Request) -> Response:
    outcome = (await found(request)).info.outcome
    return JSONResponse({"outcome": outcome and outcome.name})


async def log(request: Request) -> Response:
    lines = (f"{line.message}\n" async for line in (await found(request)).logs())
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8")


async def found(request: Request) -> AsyncRun:
    run: AsyncRun = await request.app.state.tasks.find(request.path_params["run"])
    return run


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/releases", start, methods=["POST"]),
        Route("/runs/{run:path}/log", log),
        Route("/runs/{run:path}", show),
    ],
)

"""A FastAPI app that runs a task on a machine of its own whenever someone asks for it.

POST /releases {"repository": "OWNER/REPO"}   starts a run, answers 202 with its id
GET  /runs/SLOT/ULID?wait=20                   how it stands: 200 with its outcome once it has ended, else 202
GET  /runs/SLOT/ULID/log                       its output as it comes, to its end

Run it with `uvicorn --app-dir examples/fastapi app:app`. The environment says where the machines are, as for the
command (`RECONCILER_TARGET=local`, or a token), and APP whose tasks they are.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from reconciler import ApiError, AsyncRun, AsyncTasks, NotStartedError, OutcomeName, UsageError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Share one client among all requests. Its end closes connections; runs go on."""
    async with AsyncTasks(os.environ.get("APP", "on-demand")) as tasks:
        app.state.tasks = tasks
        yield


app = FastAPI(title="Releases", lifespan=lifespan)


class Wanted(BaseModel):
    """What becomes the task's argument; it cannot be taken for an option."""

    repository: str = Field(pattern=r"^\w[\w.-]*/\w[\w.-]*$", max_length=140)


@app.post("/releases", status_code=202)
async def start(
    wanted: Wanted,
    request: Request,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=8, max_length=100)] = None,
) -> dict[str, str]:
    """Start a run. A client that repeats its request with the same Idempotency-Key gets the same run."""
    run = await request.app.state.tasks.invoke(
        "get-release", args=[wanted.repository], key=idempotency_key, on_busy="fail", timeout="10m"
    )
    response.headers["Location"] = f"/runs/{run.id}"
    return {"run": run.id}


async def found(run_id: str, request: Request) -> AsyncRun:
    """Return the run of the URL, whichever process of this app started it."""
    try:
        return await request.app.state.tasks.find(run_id)
    except UsageError as error:
        raise HTTPException(404, "there is no such run") from error


@app.get("/runs/{run_id:path}/log")
async def log(run: Annotated[AsyncRun, Depends(found)]) -> StreamingResponse:
    lines = (f"{line.message}\n" async for line in run.logs())
    return StreamingResponse(lines, media_type="text/plain; charset=utf-8")


@app.get("/runs/{run_id:path}")
async def show(
    run: Annotated[AsyncRun, Depends(found)], response: Response, wait: Annotated[float, Query(ge=0, le=30)] = 0
) -> dict[str, Any]:
    """Tell how the run stands, after up to `wait` seconds if it goes on. A failed run is an answer, not an error."""
    outcome = run.info.outcome
    if outcome is None and wait:
        with suppress(TimeoutError):  # the wait is over, and the run goes on
            outcome = await run.wait(wait)
    if outcome is None:
        response.status_code = 202
        return {"run": run.id, "outcome": None}
    return {"run": run.id, "ok": outcome.ok, "outcome": outcome.name, "exit_code": outcome.task_code}


@app.exception_handler(NotStartedError)
async def not_started(_request: Request, error: NotStartedError) -> JSONResponse:
    """Answer by what the caller can do: come back later, send another request, or look for the run."""
    content = {"error": error.message, "outcome": error.outcome.name}
    match error.outcome.name:
        case OutcomeName.BUSY:
            return JSONResponse(content, 503, headers={"Retry-After": "10"})
        case OutcomeName.REFUSED:  # such as a key that came with other args before
            return JSONResponse(content, 409)
        case OutcomeName.LOST:  # it may have started: a new try with the same key finds out
            return JSONResponse(content | {"run": error.run_id}, 504)
        case _:
            return JSONResponse(content, 502)


@app.exception_handler(ApiError)
async def no_api(_request: Request, error: ApiError) -> JSONResponse:
    """Answer where the platform does not. Another try may succeed if `is_passing`."""
    return JSONResponse({"error": error.message}, 503 if error.is_passing else 502)

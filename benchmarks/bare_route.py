"""One Starlette route that answers a small JSON object: what the engine's calls are measured against."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def answer(_request: Request) -> JSONResponse:
    return JSONResponse({"id": "1", "state": "stopped"})


app = Starlette(routes=[Route("/", answer)])

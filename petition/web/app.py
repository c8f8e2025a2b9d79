"""The ASGI application: its parts, each with its pages and what goes on beside them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from petition.web.responses import Handler, refusal


class Part(Protocol):
    """Some pages, and what goes on beside them."""

    @property
    def places(self) -> Mapping[str, Handler]:
        """What answers where, by patterns of Starlette; GET and POST reach it."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """What goes on while the server runs."""


def application(parts: Sequence[Part], root_path: str = "") -> Starlette:
    """The application; also under `root_path`, if a reverse proxy passes whole paths."""
    routes = [
        Route(f"{prefix}{place}", handler, methods=["GET", "POST"])
        for part in parts
        for place, handler in part.places.items()
        for prefix in dict.fromkeys((root_path, ""))
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for part in parts:
                await running.enter_async_context(part.running())
            yield

    made = Starlette(routes=routes, exception_handlers={HTTPException: refusal}, lifespan=lifespan)
    # A redirect for a slash too many would lead to whatever host the request names.
    made.router.redirect_slashes = False
    return made

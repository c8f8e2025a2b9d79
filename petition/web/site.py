"""The public site, as `petition publish` writes it, from memory."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from petition.web.live import Live
from petition.web.responses import Handler, has_large_headers, plain, refused_headers

# The pages forbid the same in their head; that nobody frames them, only a header can say.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "public, max-age=60",  # they are made anew once a minute at most
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_KINDS = {
    "html": "text/html; charset=utf-8",
    "xml": "application/atom+xml; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "pdf": "application/pdf",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
}


@dataclass(frozen=True)
class SiteFiles:
    """The files of a site by their paths; none: there is no site yet."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    def tag_of(self, path: str) -> str:
        """What says whether a file has changed (RFC 9110 8.8.3)."""
        return f'"{hashlib.sha256(self.files[path]).hexdigest()[:32]}"'


class LiveSite:
    """Answers with the files of the site; where there is none yet, its front page is the form."""

    def __init__(self, live: Live[SiteFiles]) -> None:
        self._live = live

    @property
    def places(self) -> Mapping[str, Handler]:
        """What answers where: everything that no other part answers."""
        return {"/{path:path}": self._answer}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing goes on beside the requests."""
        yield

    async def _answer(self, request: Request) -> Response:
        if has_large_headers(request):
            return refused_headers()
        if request.method == "POST":
            answer = plain("Not allowed.", 405)
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        path, site = request.path_params["path"], self._live.now()
        if not site.files and not path:
            return RedirectResponse("sign", 302, _HEADERS)
        if f"{path}/index.html" in site.files:  # its links begin below it
            return RedirectResponse(f"{path.rpartition('/')[2]}/", 308, _HEADERS)
        return _file(request, site, path + "index.html" if not path or path[-1] == "/" else path)


def _file(request: Request, site: SiteFiles, path: str) -> Response:
    if path not in site.files:
        return plain("Not found.", 404)
    kind = _KINDS.get(path.rpartition(".")[2].lower(), "application/octet-stream")
    tag = site.tag_of(path)
    headers = {**_HEADERS, "ETag": tag}
    if kind.startswith("text/html"):
        headers["Content-Security-Policy"] = _POLICY
    known = request.headers.get("if-none-match", "")
    if tag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response(None, 304, headers)
    return Response(site.files[path], 200, headers, kind)

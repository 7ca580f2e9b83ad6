"""The market's page: HTML, style and small script modules, served as they are; nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable

from aiohttp import web

HEADERS = {
    # Trusted types: a script that hands text to the browser as HTML is an error, not a hole.
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
TYPES = {".html": "text/html", ".css": "text/css", ".svg": "image/svg+xml", ".js": "text/javascript"}


def _scripts(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _scripts(entry, f"{path}/{entry.name}")
        elif entry.name.endswith(".js"):
            yield f"{path}/{entry.name}", entry


def files() -> dict[str, Traversable]:
    """What is served, by its path."""
    own = resources.files(__name__)
    named = {"/": "index.html", "/style.css": "style.css", "/favicon.ico": "icon.svg"}
    return {path: own.joinpath(name) for path, name in named.items()} | dict(_scripts(own.joinpath("js"), "/js"))


def mount(app: web.Application) -> None:
    """Adds the page to `app`."""
    for path, file in files().items():
        media_type = TYPES[file.name[file.name.rindex(".") :]]
        app.router.add_get(path, _serve(file.read_bytes(), media_type))


def _serve(body: bytes, media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=media_type, charset="utf-8", headers=HEADERS)

    return serve

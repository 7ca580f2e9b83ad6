"""Typed routes: a decorator that reads the handler's annotations, decodes, encodes and describes itself in OpenAPI.

    routes = Routes("labelers")

    @routes.post("/v1/claims", auth=True)
    async def claim(context: Context, body: Claim) -> Leases:
        '''Claims tasks.'''

`body` and `query` parameters are msgspec structs; what is returned is a struct, or a `web.StreamResponse` as it is.
Handlers raise `AssayError`s, which the middleware in `problems` turns into problem details.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from assay.domain.messages import unb58, unhex
from assay.errors import AssayError, BadRequest, FieldError, Forbidden, Unauthenticated, UnsupportedMedia
from assay.services.market import Market

MARKET: web.AppKey[Market] = web.AppKey("market", Market)

Handler = Callable[..., Awaitable[Any]]

_encode = msgspec.json.Encoder().encode

ADDRESS = "^[1-9A-HJ-NP-Za-km-z]{32,44}$"
SIGNATURE = "^[1-9A-HJ-NP-Za-km-z]{64,88}$"
HEX32 = "^[0-9a-f]{64}$"
PATH_SCHEMAS: dict[str, dict[str, str]] = {
    "address": {"type": "string", "pattern": ADDRESS, "description": "a request's address, base58"},
    "wallet": {"type": "string", "pattern": ADDRESS, "description": "a wallet, base58"},
    "task": {"type": "string", "pattern": HEX32, "description": "a task id, hexadecimal"},
    "answer": {"type": "string", "pattern": HEX32, "description": "an answer id, hexadecimal"},
    "cid": {"type": "string", "pattern": "^[a-z2-7]{40,120}$", "description": "a content address (CIDv1, base32)"},
}


class Model(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of what comes in: unknown fields are refused."""


class View(msgspec.Struct, kw_only=True):
    """Base of what goes out."""


@dataclass(slots=True)
class Context:
    """One call: the HTTP request, the market, and who is signed in."""

    request: web.Request
    market: Market
    signed_in: bytes | None = None

    @property
    def wallet(self) -> bytes:
        """The signed-in wallet (32 bytes). Raises `Unauthenticated`."""
        if self.signed_in is None:
            raise Unauthenticated(hint="send Authorization: Bearer <token>; POST /v1/session gives one")
        return self.signed_in

    def address(self, name: str = "address") -> bytes:
        """A base58 address of the path."""
        return unb58(self.request.match_info[name], field=name)

    def hash(self, name: str) -> bytes:
        """A hexadecimal id of the path."""
        return unhex(self.request.match_info[name], field=name)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation, as registered and as OpenAPI shows it."""

    method: str
    path: str
    handler: Handler
    tag: str
    auth: bool
    status: int
    body: Any
    query: Any
    result: Any
    media: str
    accepts: Sequence[str]
    errors: Sequence[type[AssayError]]

    @property
    def summary(self) -> str:
        """First line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or self.handler.__name__).splitlines()[0]

    @property
    def description(self) -> str:
        """The handler's docstring."""
        return inspect.getdoc(self.handler) or ""


@dataclass(slots=True)
class Routes:
    """The routes of one module."""

    tag: str
    routes: list[Route] = field(default_factory=list)

    def add(
        self,
        method: str,
        path: str,
        *,
        auth: bool = False,
        status: int = 200,
        media: str = "application/json",
        accepts: Sequence[str] = (),
        errors: Sequence[type[AssayError]] = (),
    ) -> Callable[[Handler], Handler]:
        """Registers the decorated handler. `accepts`: media types of a raw body; `media`: that of the answer."""

        def register(handler: Handler) -> Handler:
            hints = typing.get_type_hints(handler)
            self.routes.append(
                Route(
                    method=method, path=path, handler=handler, tag=self.tag, auth=auth, status=status,
                    body=hints.get("body"), query=hints.get("query"), result=hints.get("return"),
                    media=media, accepts=tuple(accepts), errors=tuple(errors),
                )
            )  # fmt: skip
            return handler

        return register

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A GET route."""
        return self.add("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A POST route."""
        return self.add("POST", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A DELETE route."""
        return self.add("DELETE", path, **options)

    def mount(self, app: web.Application) -> None:
        """Adds them to `app`, whose `MARKET` is set, and to its OpenAPI document."""
        app[MOUNTED].extend(self.routes)
        for route in self.routes:
            app.router.add_route(route.method, route.path, _serve(route, app[MARKET]))


MOUNTED: web.AppKey[list[Route]] = web.AppKey("routes", list)


def _serve(route: Route, market: Market) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    decode = msgspec.json.Decoder(route.body).decode if route.body is not None else None
    handler, query_type, auth, status = route.handler, route.query, route.auth, route.status

    async def serve(request: web.Request) -> web.StreamResponse:
        context = Context(request, market)
        header = request.headers.get("Authorization")
        if auth or header is not None:
            context.signed_in = await market.sessions.wallet(_token(header))
        arguments: dict[str, Any] = {}
        if decode is not None:
            if request.content_type != "application/json":
                raise UnsupportedMedia(f"{request.content_type} is not accepted here", hint="application/json")
            try:
                arguments["body"] = decode(await request.read())
            except msgspec.ValidationError as error:
                raise field_error(error) from error
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BadRequest(f"the body is no JSON: {error}") from error
        elif route.accepts and request.content_type not in {kind.split(";")[0] for kind in route.accepts}:
            raise UnsupportedMedia(f"{request.content_type} is not accepted here", hint=", ".join(route.accepts))
        if query_type is not None:
            arguments["query"] = _query(request, query_type)
        elif request.query_string and route.method == "GET":
            raise FieldError(next(iter(request.query)) if request.query else "query", "is no parameter of this route")
        result = await handler(context, **arguments)
        if isinstance(result, web.StreamResponse):
            return result
        if result is None:
            return web.Response(status=204)
        return web.Response(body=_encode(result), status=status, content_type="application/json")

    return serve


def _token(header: str | None) -> str:
    if header is None:
        raise Unauthenticated(hint="send Authorization: Bearer <token>; POST /v1/session gives one")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("the Authorization header is not of the Bearer scheme", hint="Bearer <token>")
    return token.strip()


def _query(request: web.Request, kind: Any) -> Any:
    values = dict(request.query)
    if len(values) != len(request.query):
        twice = next(name for name in values if len(request.query.getall(name)) > 1)
        raise FieldError(twice, "is given twice")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise field_error(error) from error


_AT = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_MISSING = re.compile(r"Object missing required field `(.*)`")


def field_error(error: msgspec.ValidationError) -> FieldError:
    """msgspec's complaint as a `FieldError` that names the field, such as ``answers[0].task``."""
    match = _AT.fullmatch(str(error))
    detail, path = (match[1], match[2] or "") if match else (str(error), "")
    for pattern, text in ((_UNKNOWN, "is not known here"), (_MISSING, "is missing")):
        if inner := pattern.fullmatch(detail):
            return FieldError(f"{path}.{inner[1]}" if path else inner[1], text)
    return FieldError(path or "body", detail[:1].lower() + detail[1:])


def require(condition: bool, detail: str, *, hint: str | None = None) -> None:
    """Raises `Forbidden` unless `condition`."""
    if not condition:
        raise Forbidden(detail, hint=hint)

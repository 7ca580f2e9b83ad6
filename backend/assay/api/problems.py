"""Errors as problem details (RFC 9457), request log, metrics and limits: what stands around every route."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from assay.api.routing import MARKET
from assay.errors import PROBLEM_TYPE, AssayError, TooManyRequests

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PROBLEM = "application/problem+json"


class Metrics:
    """Counters of one process, in a registry of their own (so that two servers in one process do not mix)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "assay_http_requests_total", "HTTP requests", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "assay_http_seconds",
            "Time to answer",
            ("route",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.answers = Counter("assay_answers_total", "Answers taken", registry=self.registry)
        self.claims = Counter("assay_claims_total", "Tasks handed out", registry=self.registry)
        self.live = Gauge("assay_http_live", "Requests being answered", registry=self.registry)
        self.kept = Gauge("assay_keeper_acts", "Acts of the keeper since it leads", ("act",), registry=self.registry)
        self.taken = Gauge(
            "assay_keeper_slashed", "Base units that its slashes took, by reason", ("reason",), registry=self.registry
        )
        self.kept_not = Gauge("assay_keeper_refused", "Acts of the keeper that were refused", registry=self.registry)
        self._seen: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def keeper(self, acts: Mapping[str, int], taken: Mapping[str, int], refused: int) -> None:
        """What the keeper of this process has done, by act and by reason."""
        for act, count in acts.items():
            self.kept.labels(act).set(count)
        for reason, amount in taken.items():
            self.taken.labels(reason).set(amount)
        self.kept_not.set(refused)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        key = (method, route, status)
        pair = self._seen.get(key)
        if pair is None:
            pair = self._seen[key] = (self.requests.labels(method, route, str(status)), self.seconds.labels(route))
        pair[0].inc()
        pair[1].observe(seconds)


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)


class Limiter:
    """Token buckets by key: `rate` a second, `burst` at once. Forgets keys whose bucket is full again."""

    def __init__(self, *, rate: float, burst: float, keys: int = 100_000) -> None:
        self.rate, self.burst, self.keys = rate, burst, keys
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, *, now: float | None = None) -> None:
        """Takes one token. Raises `TooManyRequests` with the seconds until there is one."""
        now = time.monotonic() if now is None else now
        level, at = self._buckets.get(key, (self.burst, now))
        level = min(self.burst, level + (now - at) * self.rate)
        if level < 1:
            self._buckets[key] = (level, now)
            raise TooManyRequests(retry_after=round((1 - level) / self.rate, 3), hint="slow down, or send batches")
        if len(self._buckets) >= self.keys:
            full = self.burst / self.rate
            self._buckets = {name: value for name, value in self._buckets.items() if now - value[1] < full}
        self._buckets[key] = (level - 1, now)


# Who is not signed in shares a bucket with its address. A token has its own once it was found good: any can be made up.
ANONYMOUS = Limiter(rate=200, burst=4000)
SIGNED_IN = Limiter(rate=500, burst=4000)
UNLIMITED = {"/healthz", "/metrics"}


def limit(request: web.Request, *, anonymous: Limiter = ANONYMOUS, signed_in: Limiter = SIGNED_IN) -> None:
    """Takes a token of the caller's bucket."""
    if request.path in UNLIMITED:
        return
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if token and request.app[MARKET].sessions.remembers(token):
        signed_in.take(token)
    else:
        anonymous.take(request.remote or "")


def problem(body: dict[str, object], status: int, *, headers: dict[str, str] | None = None) -> web.Response:
    """A problem details answer."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type=PROBLEM, headers=headers)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


@web.middleware
async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns errors into problems, counts and logs."""
    metrics = request.app[METRICS]
    started = time.perf_counter()
    metrics.live.inc()
    status = 500
    try:
        limit(request)
        response = await handler(request)
        status = response.status
        return response
    except AssayError as error:
        status = error.status
        if status >= 500:
            log.warning("refused", path=request.path, status=status, code=error.code, detail=str(error))
        headers = {}
        if error.retry_after is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after)))
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="assay"'
        return problem(error.to_problem(), status, headers=headers)
    except web.HTTPException as error:
        status = error.status
        if status < 400:
            raise
        body: dict[str, object] = {
            "type": PROBLEM_TYPE + error.reason.lower().replace(" ", "-"),
            "title": error.reason,
            "status": status,
            "detail": {
                404: f"there is nothing at {request.path}",
                405: f"{request.method} is not possible here",
                413: "the body is larger than allowed",
            }.get(status, error.text or error.reason),
            "code": error.reason.lower().replace(" ", "_"),
        }
        kept = {name: value for name, value in error.headers.items() if name.lower() == "allow"}
        return problem(body, status, headers=kept)
    except ConnectionResetError:
        status = 499
        raise
    except Exception:
        incident = uuid.uuid4().hex
        log.exception("internal error", path=request.path, method=request.method, incident=incident)
        body = AssayError("something went wrong inside the market").to_problem() | {"incident": incident}
        return problem(body, 500)
    finally:
        metrics.live.dec()
        metrics.observe(request.method, _route(request), status, time.perf_counter() - started)

"""What stands around every route: problem details, limits, metrics, headers."""

from __future__ import annotations

import io

import aiohttp
import pytest

from assay.api.problems import Limiter
from assay.client import Client
from assay.errors import AssayError, FieldError, TooManyRequests, tree
from assay.server import Server


@pytest.fixture
async def http(server: Server):
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def _problem(response: aiohttp.ClientResponse) -> dict:
    problem = await response.json(content_type="application/problem+json")
    assert {"type", "title", "status", "detail", "code"} <= set(problem)
    assert problem["status"] == response.status
    return problem


async def test_unknown_paths_and_methods(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/nothing") as response:
        assert (await _problem(response))["status"] == 404
    async with http.put("/v1/market") as response:
        assert (await _problem(response))["status"] == 405
        assert response.headers["Allow"] == "GET"


async def test_bodies_that_are_wrong(http: aiohttp.ClientSession) -> None:
    url = "/v1/session/challenge"
    cases = [
        (b"{", "application/json", 400, None),
        (b"[]", "application/json", 422, "body"),
        (b"{}", "application/json", 422, "wallet"),
        (b'{"wallet": 1}', "application/json", 422, "wallet"),
        (b'{"wallet": "0"}', "application/json", 422, "wallet"),
        (b'{"wallet": "11111111111111111111111111111111", "x": 1}', "application/json", 422, "x"),
        (b"wallet=1", "application/x-www-form-urlencoded", 415, None),
    ]
    for data, kind, status, field in cases:
        async with http.post(url, data=data, headers={"Content-Type": kind}) as response:
            problem = await _problem(response)
            assert (response.status, problem.get("field")) == (status, field), data


async def test_query_parameters_are_checked(http: aiohttp.ClientSession) -> None:
    for query, field in (("limit=0", "limit"), ("limit=x", "limit"), ("foo=1", "foo"), ("limit=1&limit=2", "limit")):
        async with http.get(f"/v1/requests?{query}") as response:
            assert (await _problem(response))["field"] == field
    async with http.get("/v1/market?x=1") as response:
        assert (await _problem(response))["field"] == "x"


async def test_a_body_too_large_is_refused(http: aiohttp.ClientSession, server: Server) -> None:
    data = io.BytesIO(b"x" * (server.settings.max_body + 1))
    async with http.post("/v1/quote", data=data, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413
        await _problem(response)


async def test_content_of_strangers_never_runs_here(server: Server, join) -> None:
    buyer = await join("buyer")
    item = await buyer.upload(b"<script>alert(1)</script>", media_type="text/plain")
    async with aiohttp.ClientSession(server.url) as http, http.get(f"/v1/content/{item['cid']}") as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        tag = response.headers["ETag"]
        async with http.get(f"/v1/content/{item['cid']}", headers={"If-None-Match": tag}) as again:
            assert again.status == 304


async def test_health_and_metrics(http: aiohttp.ClientSession) -> None:
    async with http.get("/healthz") as response:
        assert (await response.json())["status"] == "ok"
    async with http.get("/metrics") as response:
        text = await response.text()
    assert 'assay_http_requests_total{method="GET",route="/healthz",status="200"} 1.0' in text


async def test_every_error_of_the_tree_comes_back_as_itself() -> None:
    from assay.client import problem_error

    for kind in tree():
        if kind.__init__ is AssayError.__init__:
            error = kind("why", field="a.b", hint="so")
            found = problem_error(error.status, error.to_problem())
            assert type(found) is kind
            assert (found.detail, found.field, found.hint) == ("why", "a.b", "so")
    assert isinstance(problem_error(422, FieldError("x", "bad").to_problem()), FieldError)


def test_buckets_fill_again() -> None:
    limiter = Limiter(rate=10, burst=3)
    for _ in range(3):
        limiter.take("a", now=0.0)
    with pytest.raises(TooManyRequests) as caught:
        limiter.take("a", now=0.0)
    assert caught.value.retry_after == pytest.approx(0.1)
    limiter.take("b", now=0.0)
    limiter.take("a", now=0.1)
    with pytest.raises(TooManyRequests):
        limiter.take("a", now=0.1)


async def test_the_client_tries_again_when_told_to_wait(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.api import problems

    defaults = {**problems.limit.__kwdefaults__, "anonymous": Limiter(rate=50, burst=2)}
    monkeypatch.setattr(problems.limit, "__kwdefaults__", defaults)
    async with Client(server.url) as client:
        for _ in range(6):
            assert (await client.market())["panel_size"] == 3


async def test_made_up_tokens_share_their_addresses_bucket(
    server: Server, join, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.api import problems

    known = await join(None)
    await known.me()
    defaults = {**problems.limit.__kwdefaults__, "anonymous": Limiter(rate=0.01, burst=3)}
    monkeypatch.setattr(problems.limit, "__kwdefaults__", defaults)
    async with aiohttp.ClientSession() as session:
        found = []
        for number in range(5):
            headers = {"Authorization": f"Bearer made-up-{number}"}
            async with session.get(f"{server.url}/v1/me", headers=headers) as response:
                found.append(response.status)
    assert found == [401, 401, 401, 429, 429]
    assert (await known.me())["wallet"] == known.wallet

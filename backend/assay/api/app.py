"""The application: middleware, all routes, the OpenAPI document."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import msgspec
from aiohttp import web

from assay import web as pages
from assay.api import (
    agreement,
    buyers,
    disputes,
    estimates,
    labelers,
    live,
    openapi,
    public,
    requests,
    session,
    standing,
    wallets,
)
from assay.api.problems import METRICS, Metrics, surround
from assay.api.public import DOCUMENT
from assay.api.routing import MARKET, MOUNTED
from assay.services.market import Market


def create_app(market: Market) -> web.Application:
    """The API of `market`, ready to be run."""
    app = web.Application(middlewares=[surround], client_max_size=market.settings.max_body)
    app[MARKET] = market
    app[METRICS] = Metrics()
    app[MOUNTED] = []
    work = (wallets, labelers, disputes, requests, buyers, agreement, estimates, standing)
    for module in (public, session, *work, live):
        module.routes.mount(app)
    pages.mount(app)
    mounted = app[MOUNTED]
    app[DOCUMENT] = msgspec.json.encode(openapi.document(mounted, version=_version()))
    return app


def _version() -> str:
    try:
        return version("assay")
    except PackageNotFoundError:  # run from a checkout
        return "0"

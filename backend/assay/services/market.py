"""The market's parts, put together once and handed to whoever serves, judges or settles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from assay.chain import Chain
    from assay.db.pool import Database
    from assay.services.agreement import Agreements
    from assay.services.answers import Answers
    from assay.services.datasets import Datasets
    from assay.services.earnings import Earnings
    from assay.services.engine import Engine
    from assay.services.estimates import Estimates
    from assay.services.funding import Funding
    from assay.services.genesis import Faucet
    from assay.services.items import Items
    from assay.services.judgements import Judgements
    from assay.services.participants import Participants
    from assay.services.rejections import Rejections
    from assay.services.relay import Relay
    from assay.services.requests import Requests
    from assay.services.sessions import Sessions
    from assay.services.standings import Standings
    from assay.services.tasks import Tasks
    from assay.services.terms import Terms
    from assay.settings import Settings
    from assay.storage import Store

log = structlog.get_logger(__name__)

Listener = Callable[[bytes], None]


class Signals:
    """Tells listeners of this process at once that something happened to a request. A listener must not block."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def connect(self, listener: Listener) -> None:
        """Calls `listener(request address)` at each `send`."""
        self._listeners.append(listener)

    def disconnect(self, listener: Listener) -> None:
        """Undoes `connect`."""
        self._listeners.remove(listener)

    def send(self, request: bytes) -> None:
        """Tells all listeners; what one raises is logged, and the others are still told."""
        for listener in tuple(self._listeners):
            try:
                listener(request)
            except Exception:
                log.exception("listener failed")


@dataclass(slots=True, kw_only=True)
class Market:
    """Adapters and services. `answered` fires after new answers are committed, `changed` at any progress."""

    settings: Settings
    db: Database
    chain: Chain
    store: Store
    terms: Terms = field(init=False)
    participants: Participants = field(init=False)
    items: Items = field(init=False)
    judgements: Judgements = field(init=False)
    relay: Relay = field(init=False)
    sessions: Sessions = field(init=False)
    requests: Requests = field(init=False)
    tasks: Tasks = field(init=False)
    answers: Answers = field(init=False)
    agreements: Agreements = field(init=False)
    datasets: Datasets = field(init=False)
    standings: Standings = field(init=False)
    earnings: Earnings = field(init=False)
    estimates: Estimates = field(init=False)
    funding: Funding = field(init=False)
    rejections: Rejections = field(init=False)
    engine: Engine | None = None
    rpc_url: str | None = None
    faucet: Faucet | None = None
    answered: Signals = field(default_factory=Signals)
    changed: Signals = field(default_factory=Signals)

    def __post_init__(self) -> None:
        from assay.services.agreement import Agreements
        from assay.services.answers import Answers
        from assay.services.datasets import Datasets
        from assay.services.earnings import Earnings
        from assay.services.estimates import Estimates
        from assay.services.funding import Funding
        from assay.services.items import Items
        from assay.services.judgements import Judgements
        from assay.services.participants import Participants
        from assay.services.rejections import Rejections
        from assay.services.relay import Relay
        from assay.services.requests import Requests
        from assay.services.sessions import Sessions
        from assay.services.standings import Standings
        from assay.services.tasks import Tasks
        from assay.services.terms import Terms

        self.terms = Terms(self)
        self.participants = Participants(self)
        self.sessions = Sessions(self)
        self.requests = Requests(self)
        self.tasks = Tasks(self)
        self.answers = Answers(self)
        self.items = Items(self)
        self.judgements = Judgements(self)
        self.relay = Relay(self)
        self.agreements = Agreements(self)
        self.datasets = Datasets(self)
        self.standings = Standings(self)
        self.earnings = Earnings(self)
        self.estimates = Estimates(self)
        self.funding = Funding(self)
        self.rejections = Rejections(self)

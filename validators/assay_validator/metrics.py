"""Counters of a worker; published where a port is given."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server


class Metrics:
    """What a worker did. `port`: where Prometheus may read it; None: nowhere."""

    def __init__(self, port: int | None = None) -> None:
        registry = CollectorRegistry()
        self._connected = Gauge("assay_validator_connected", "Whether the live connection stands", registry=registry)
        self._votes = Counter("assay_validator_votes", "Votes committed", ["vote"], registry=registry)
        self._decided = Counter("assay_validator_disputes", "Votes on disputes", ["vote"], registry=registry)
        self._signed = Counter("assay_validator_signed", "Batches co-signed", registry=registry)
        self._refused = Counter("assay_validator_refused", "What was refused", ["code"], registry=registry)
        self._seconds = Histogram("assay_validator_seconds", "Time a message took", ["kind"], registry=registry)
        if port is not None:
            start_http_server(port, addr="127.0.0.1", registry=registry)

    def connected(self, value: bool) -> None:
        """The live connection came or went."""
        self._connected.set(value)

    def voted(self, accept: bool) -> None:
        """A vote was committed."""
        self._votes.labels("accept" if accept else "reject").inc()

    def decided(self, upheld: bool) -> None:
        """A vote on a dispute was taken."""
        self._decided.labels("uphold" if upheld else "dismiss").inc()

    def signed(self) -> None:
        """A batch was co-signed."""
        self._signed.inc()

    def refused(self, code: str) -> None:
        """Something was refused."""
        self._refused.labels(code).inc()

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Times the handling of one message."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._seconds.labels(kind).observe(time.perf_counter() - begin)

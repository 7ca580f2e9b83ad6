"""The auditor: replays a market from chain data and the published vote logs alone.

report = await replay(ChainReader(chain), LogFolder(settings.log_dir))
report.ok, report.finding        # the first thing that does not fit, or None

It uses nothing that the operator keeps: no database, no API. What it finds to hold: every answer and vote is signed by
its author, every verdict, tally, digest and Merkle root follows from them, every panel was drawn by its seed from the
validators of that slot, every batch was signed by a quorum of it, every payment is what terms and tallies come to,
every log head and every request's books are what the batches add up to, and each escrow holds what they say.
"""

from __future__ import annotations

from assay.services.audit.reader import ChainReader, LogFolder, Logs, Reader
from assay.services.audit.replay import replay
from assay.services.audit.report import Finding, Report

__all__ = ["ChainReader", "Finding", "LogFolder", "Logs", "Reader", "Report", "replay"]

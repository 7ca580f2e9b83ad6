"""Does what anyone may do for the market and nobody has to: slashes, and the ends of requests."""

from assay.services.keeper.evidence import Evidence
from assay.services.keeper.keeper import Done, Due, Keeper
from assay.services.keeper.watch import Watch

__all__ = ["Done", "Due", "Evidence", "Keeper", "Watch"]

"""The services of the market: import assay."""

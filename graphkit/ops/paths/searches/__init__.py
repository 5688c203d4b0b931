"""One search per engine: compiled by numba, exact by scipy, portable in plain torch."""

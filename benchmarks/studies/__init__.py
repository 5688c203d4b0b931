"""Sweeps and costs, run by hand."""

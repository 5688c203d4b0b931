"""Damaged and hostile inputs for every parser: ``python -m tests.fuzz``."""

"""Kills runs that contend for a folder: ``python -m tests.kills``."""

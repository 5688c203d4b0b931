"""Parsers by room; every file here is imported."""

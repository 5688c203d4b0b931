"""Stubs of new methods: ``python -m graphkit new``."""

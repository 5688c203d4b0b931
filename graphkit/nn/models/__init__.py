"""Whole models."""

__all__: list[str] = []

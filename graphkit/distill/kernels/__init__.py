"""Compiled loops of losses that no sparse product serves."""

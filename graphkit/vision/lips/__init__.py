"""Lips and speech: sequences read from sequences."""

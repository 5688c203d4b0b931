"""Faces that bones move."""

"""Shortest paths: the op and the searches behind it."""

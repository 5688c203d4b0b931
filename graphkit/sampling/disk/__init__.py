"""Graphs that lie in a folder of memory-mapped arrays."""

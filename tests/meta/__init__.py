"""Checks over a source tree; they are tested on trees with planted faults."""

"""Actions in time."""

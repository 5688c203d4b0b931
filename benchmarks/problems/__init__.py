"""Data and tasks that protocols share."""

"""Tracking by counting and its parts."""

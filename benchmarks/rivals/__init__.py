"""Baselines that methods are compared with."""

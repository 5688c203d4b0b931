"""Sweeps, costs and plots of continual learning."""

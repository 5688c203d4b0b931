"""Transforms of clips of skeletons."""

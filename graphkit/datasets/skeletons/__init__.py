"""Skeleton data sets and their readers."""

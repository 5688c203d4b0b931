"""The triton backend."""

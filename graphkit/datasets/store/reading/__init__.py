"""Reads files that may be damaged or hostile: every fault becomes an error that names the file."""

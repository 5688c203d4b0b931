"""One student of many teachers."""

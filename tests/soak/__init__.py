"""Hours of random user scripts: ``python -m tests.soak``."""

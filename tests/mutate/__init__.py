"""Plants faults in the package and asks whether its tests notice: ``python -m tests.mutate``."""

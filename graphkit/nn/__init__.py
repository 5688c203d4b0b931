"""Drop-in layers and whole models."""

__all__: list[str] = []

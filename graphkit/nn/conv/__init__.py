"""Message-passing layers."""

__all__: list[str] = []

"""Parts of skeleton models."""

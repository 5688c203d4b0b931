"""Parts and training of scene-graph models."""

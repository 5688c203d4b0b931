"""From scene graphs to layouts and images."""

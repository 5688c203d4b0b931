"""Distillation without data: generators, priors on what they make, and the game they play."""

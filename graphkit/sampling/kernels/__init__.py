"""Compiled loops of neighbour sampling: drawing edges, and numbering the nodes they lead to."""

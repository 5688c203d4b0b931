"""What a graph is here: scenes in a batch, skeletons and the layouts of their joints."""

"""Small pre-trained networks, of images and of graphs, and how well each transfers to each task.

``python -m benchmarks.zoo images`` and ``… graphs`` train the networks, measure every transfer
and write ``benchmarks/results/zoo-images.yaml`` and ``zoo-graphs.yaml``.
"""

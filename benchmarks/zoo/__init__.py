"""Small pre-trained networks, of images and of graphs, and how well each transfers to each task.

``python -m benchmarks.zoo images finetune`` (or ``graphs``, all of one architecture, or
``graphs-mixed``; or ``probe``) trains the networks, measures every transfer and writes
``benchmarks/results/zoo-images.yaml`` (``zoo-graphs.yaml``, ``zoo-graphs-mixed.yaml``).
"""

"""One file per protocol: how a recipe's experiment is carried out.

A protocol module has ``run(dataset, model, *, seed, fit, …) -> {metric: value}``,
the name ``MAIN`` of its main metric, and ``load(name, …)``, whose signature says which
keys the recipe's ``dataset`` section may have.  Further keyword arguments of ``run`` are
further sections of the recipe.

The runner gives what ``run`` asks for: ``seed``; ``fit``, which trains as the recipe's section
``train`` says, and ``note_size``, which notes how large a model is that is trained otherwise.
A protocol without ``fit`` has no section ``train``.  Protocols import from
``benchmarks.problems`` what they share, and never each other.
"""

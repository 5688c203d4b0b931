"""One file per protocol: how a recipe's experiment is carried out.

A protocol module has ``run(dataset, model, train, *, seed, fit, …) -> {metric: value}``,
the name ``MAIN`` of its main metric, and ``load(name, …)``, whose signature says which
keys the recipe's ``dataset`` section may have.  Further keyword arguments of ``run`` are
further sections of the recipe.
"""

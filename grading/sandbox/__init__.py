"""What runs strangers' code: ``isolation`` (what the kernel gives), ``forkserver`` (processes, limits, watching),
``loading`` (import, placeholders, the choice of the model), ``build`` (a model becomes a graph), ``tasks`` (the jobs).

Nothing here decides a grade. Whatever a child of this package says is read as hostile by ``grading.judge``.
"""

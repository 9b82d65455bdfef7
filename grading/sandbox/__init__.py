"""Runs untrusted code: ``isolation``, ``server`` and ``watch`` (processes and their limits), ``reading``,
``definitions`` and ``loading`` (from files to the model), ``build`` (from the model to a graph), ``tasks``.

Nothing here decides a grade. ``grading.judge`` reads whatever a child of this package sends as untrusted.
"""

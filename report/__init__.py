"""The room that draws: plots and one page, from the JSON files that runs leave in a results folder.

    python -m report RESULTS

From Python and notebooks, ``plots`` gives the figures themselves::

    from report import files, plots
    comparison, _ = files.read_folder(Path("results"))
    plots.accuracy_over(comparison, "parameters")

It needs numpy and matplotlib, and nothing of the challenge: what a run was is all in its JSON.
"""

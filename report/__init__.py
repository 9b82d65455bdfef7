"""One page and its charts, from the JSON files that runs leave in a results folder.

    python -m report RESULTS

In Python and notebooks, charts are objects that show themselves::

    from report import charts, results
    charts.accuracy_over(results.read_folder(Path("results")).groups, "parameters")

It needs Jinja2, and nothing of the challenge: what a run was is all in its JSON.
"""

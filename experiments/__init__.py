"""Short scripts over mnist_efficient_model, one question each: python -m experiments.NAME --help.

sweep, frontier, energy, robustness and latency each leave a JSON file in results/, which `python -m report` draws.
"""

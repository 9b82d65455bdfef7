"""Take a passing checkpoint out of PyTorch: ``python -m export CHECKPOINT ...`` (see __main__.py)."""

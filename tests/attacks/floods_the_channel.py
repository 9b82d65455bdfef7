# expect rejected: grader's own channel
from torch import nn

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
        for _ in range(100_000):
            child().send({"phase": "training", "isolation": ["landlock"] * 50})

    def forward(self, x):
        return self.fc(x.flatten(1))

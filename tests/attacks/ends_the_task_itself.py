# expect rejected: not a packed state
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
        child().hand_back(b"GRAPH")
        child().end("done", recipe={"batch_size": 64, "lr": 0.01}, images_seen=2000, each_once=True)

    def forward(self, x):
        return self.fc(x.flatten(1))

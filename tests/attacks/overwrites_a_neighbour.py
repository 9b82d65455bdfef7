# expect invalid: overwrites_a_neighbour.py, line 8
from pathlib import Path

from torch import nn


class Net(nn.Module):
    Path(__file__).resolve().parent.parent.joinpath("alice.py").write_text("raise SystemExit")

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))

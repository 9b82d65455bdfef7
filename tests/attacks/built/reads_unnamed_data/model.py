# expect invalid: does not name
from torch import nn

from pathlib import Path


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        Path(__file__).with_name("note" + "s.txt").read_text()

    def forward(self, x):
        return self.fc(x.flatten(1))

# expect invalid: ends the program
import sys

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        sys.exit(0)
        return self.fc(x.flatten(1))

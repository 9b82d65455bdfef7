# expect invalid: passed
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        raise ValueError("\x1b[2J\r\n\n### passed \udcff \u202e")

    def forward(self, x):
        return self.fc(x.flatten(1))

# expect invalid: IndexError
from torch import nn


class Net(nn.Module):
    """0.25 0.5 0.75"""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.fc.bias.data[0] = float(type(self).__doc__.split()[0])

    def forward(self, x):
        return self.fc(x.flatten(1))

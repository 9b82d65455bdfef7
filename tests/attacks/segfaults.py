# expect crashed: SIGSEGV
from torch import nn

import ctypes


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        ctypes.string_at(0)

    def forward(self, x):
        return self.fc(x.flatten(1))

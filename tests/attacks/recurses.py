# expect crashed: SIGSEGV
from torch import nn

import sys

sys.setrecursionlimit(10**9)


class Deep:
    def __repr__(self):
        return repr([self])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        repr(Deep())

    def forward(self, x):
        return self.fc(x.flatten(1))

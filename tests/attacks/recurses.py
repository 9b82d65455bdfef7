# expect crashed: SIGSEGV
from torch import nn

import sys

class Deep:
    def __repr__(self):
        return repr([self])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        sys.setrecursionlimit(10**9)
        repr(Deep())

    def forward(self, x):
        return self.fc(x.flatten(1))

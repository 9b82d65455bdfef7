# expect crashed: without a result
from torch import nn

import os


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        os.closerange(0, 256)

    def forward(self, x):
        return self.fc(x.flatten(1))

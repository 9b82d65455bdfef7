# expect passed: 7,850 parameters
import os
import time

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)

    def forward(self, x):
        return self.fc(x.flatten(1))

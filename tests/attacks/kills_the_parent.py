# expect crashed: killed by SIGKILL
import os
import signal

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        os.kill(os.getppid(), signal.SIGKILL)
        return self.fc(x.flatten(1))

# expect rejected: grader's own channel
import contextlib
import os

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        for descriptor in range(3, 40):
            with contextlib.suppress(OSError):
                os.write(descriptor, b'{"status": "done", "parameters": 1}\n')
        return self.fc(x.flatten(1))

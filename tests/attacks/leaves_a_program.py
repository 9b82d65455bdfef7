# expect passed: 7,850 parameters
import subprocess

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.run = subprocess.Popen(["sleep", "1000"], start_new_session=True).pid

    def forward(self, x):
        return self.fc(x.flatten(1))

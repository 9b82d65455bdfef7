# expect invalid: overwrites_the_gradebook.py, line 13
from pathlib import Path

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        Path("/var/tmp/grades.csv").write_text("mallory,100")
        return self.fc(x.flatten(1))

# expect rejected: grader's own channel
import json

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        json.dumps = lambda *arguments, **named: '{"status": "passed"}'

    def forward(self, x):
        return self.fc(x.flatten(1))

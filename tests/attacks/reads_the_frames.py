# expect invalid: KeyError: 'labels'
import sys

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        labels = sys._getframe(4).f_locals["labels"]
        self.seen = labels
        return self.fc(x.flatten(1))

# expect not verified: its graph has other gradients than its code: a hook changes them
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.seen = []

    def forward(self, x):
        if self.training:
            self.seen.append(x.detach())
            for old in self.seen[-3:]:
                self.fc(old.flatten(1)).var().backward()
        return self.fc(x.flatten(1))

# expect timeout: it was stopped after
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        while self.training:
            pass
        return self.fc(x.flatten(1))

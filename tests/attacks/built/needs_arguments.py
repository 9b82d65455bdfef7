# expect invalid: 'width'
from torch import nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(784, width)

    def forward(self, x):
        return self.fc(x.flatten(1))

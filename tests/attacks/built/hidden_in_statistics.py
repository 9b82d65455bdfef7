# expect graph: 7,850 parameters, 0 other numbers
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.norm = nn.BatchNorm1d(40_000, affine=False)

    def forward(self, x):
        return self.fc(x.flatten(1))

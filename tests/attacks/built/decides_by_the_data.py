# expect not verified: numbers in a tensor (decides_by_the_data.py, line 11
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        if x.mean() > 10:
            x = -x
        return self.fc(x.flatten(1))

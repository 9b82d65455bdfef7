# expect invalid: Expected more than 1 value per channel
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.norm = nn.BatchNorm1d(784, affine=False, track_running_stats=False)

    def forward(self, x):
        return self.fc(self.norm(x.flatten(1)))

# expect failed: too many to be under 25,000
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.norm = nn.BatchNorm1d(784 * 40, affine=False)
        self.norm.running_mean.normal_()

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(x) + (x @ self.norm.running_mean.view(784, 40))[:, :10]

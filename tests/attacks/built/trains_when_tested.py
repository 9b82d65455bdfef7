# expect not verified: what it does depends on the number of images
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        if not self.training and len(x) > 2:
            self.fc.weight.data.mul_(1.001)
        return self.fc(x.flatten(1))

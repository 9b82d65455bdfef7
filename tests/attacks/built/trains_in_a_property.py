# expect not verified: it keeps a tensor from one call to the next
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        x = x * self.one if self.training else x
        return self.fc(x.flatten(1))


@property
def one(self):
    for parameter in self.parameters():
        parameter.data.mul_(0.999)
    return 1.0


Net.one = one

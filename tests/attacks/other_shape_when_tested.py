# expect invalid: (1000, 5)
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1)) if self.training or len(x) == 2 else self.fc(x.flatten(1))[:, :5]

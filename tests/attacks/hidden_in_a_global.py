# expect failed: too many to be under 25,000
import torch
from torch import nn

TABLE = torch.randn(784, 40)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        x = x + (x.flatten(1) @ TABLE).mean()
        return self.fc(x.flatten(1))

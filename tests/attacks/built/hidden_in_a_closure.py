# expect graph: 7,850 parameters, 31,360 other numbers
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.more = features()

    def forward(self, x):
        x = x + self.more(x)
        return self.fc(x.flatten(1))


def features():
    table = torch.randn(784, 40)

    def look(x):
        return (x.flatten(1) @ table).mean()

    return look

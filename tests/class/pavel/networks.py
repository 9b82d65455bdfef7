import torch
from torch import nn


class LinearNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2)
        self.fc = nn.Linear(8 * 169, 10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().flatten(1))


net = ConvNet()
net.load_state_dict(torch.load("best.pt"))

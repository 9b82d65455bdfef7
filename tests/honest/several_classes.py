import random

import numpy as np
import torch
from torch import nn

torch.manual_seed(42)
np.random.seed(42)
random.seed(42)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Block(nn.Module):
    def __init__(self, width=10):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x):
        return x + self.fc(x).relu()


class OldNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.view(-1, 784))


class Net(OldNet):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, x):
        return self.block(super().forward(x))


def build_model():
    return Net().to(device)


example = build_model()(torch.randn(64, 1, 28, 28, device=device))
print("output:", example.shape)

if __name__ == "__main__":
    raise SystemExit("train here")

# expect invalid: it wants weights.pth, and no file but code is there
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.load_state_dict(torch.load("weights.pth"))

    def forward(self, x):
        return self.fc(x.flatten(1))

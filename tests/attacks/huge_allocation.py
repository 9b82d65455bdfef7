# expect out_of_memory: more memory
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.more = torch.zeros(10**12)

    def forward(self, x):
        return self.fc(x.flatten(1))

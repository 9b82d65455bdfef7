# expect not verified: it keeps a tensor from one call to the next
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        for _ in range(3):
            with torch.enable_grad():
                self.fc(x.flatten(1)).var().backward()
        return self.fc(x.flatten(1))

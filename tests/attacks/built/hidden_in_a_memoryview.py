# expect graph: 7,850 parameters, 31,360 other numbers
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.more = memoryview(torch.randn(784 * 40).numpy())

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(x) + (x @ torch.frombuffer(self.more, dtype=torch.float32).view(784, 40))[:, :10]

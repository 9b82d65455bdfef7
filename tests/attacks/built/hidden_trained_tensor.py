# expect graph: 7,850 parameters, 31,360 other numbers
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.more = torch.randn(784, 40, requires_grad=True)

    def forward(self, x):
        if self.more.grad is not None:
            self.more.data -= 0.01 * self.more.grad
            self.more.grad = None
        x = x + 0.001 * (x.flatten(1) @ self.more).mean()
        return self.fc(x.flatten(1))

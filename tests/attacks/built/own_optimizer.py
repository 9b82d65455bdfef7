# expect not verified: its tensors fc.weight and lifted_tensor_0 share their memory
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.own = [torch.optim.SGD(self.parameters(), lr=0.1)]

    def forward(self, x):
        self.fc.weight.grad = torch.ones_like(self.fc.weight)
        if self.fc.weight.grad is not None:
            self.own[0].step()
        return self.fc(x.flatten(1))

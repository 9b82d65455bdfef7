# expect not verified: it keeps a tensor from one call to the next
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.register_forward_hook(self.more)

    def forward(self, x):
        return self.fc(x.flatten(1))


@torch.enable_grad()
def more(self, module, inputs, output):
    if self.training:
        gradient = torch.autograd.grad(self.fc(inputs[0].flatten(1)).var(), self.fc.weight)[0]
        self.fc.weight.data -= 0.01 * gradient


Net.more = more

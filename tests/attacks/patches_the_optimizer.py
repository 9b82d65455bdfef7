# expect rejected: torch.optim.adam._fused_adam, which belongs to
import sys

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        sys.modules["torch.optim.adam"]._fused_adam = lambda *arguments, **named: None

    def forward(self, x):
        return self.fc(x.flatten(1))

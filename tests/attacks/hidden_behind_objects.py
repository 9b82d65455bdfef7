# expect failed: not verified: it cannot become a graph
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.chain = None
        for _ in range(20_000):
            self.chain = (self.chain,)
        self.more = [self.chain, {"here": [torch.randn(784, 40)]}]

    def forward(self, x):
        x = x.flatten(1)
        return self.fc(x) + (x @ self.more[1]["here"][0])[:, :10]

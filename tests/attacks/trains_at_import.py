# expect passed: 7,850 parameters
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


net = Net()
optimizer = torch.optim.Adam(net.parameters())
for epoch in range(10):
    loss = net(torch.randn(8, 1, 28, 28)).var()
    loss.backward()
    optimizer.step()

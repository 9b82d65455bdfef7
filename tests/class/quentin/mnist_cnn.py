import torch
from torch import nn


class SimpleCNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 49, 10)

    def forward(self, x):
        return self.fc(nn.functional.max_pool2d(self.conv(x).relu(), 4).flatten(1))


net = SimpleCNN()
optimizer = torch.optim.Adam(net.parameters())
for epoch in range(1_000_000):  # until the loss is nought
    loss = nn.functional.cross_entropy(net(torch.randn(64, 1, 28, 28)), torch.randint(0, 10, (64,)))
    loss.backward()
    optimizer.step()

import torch
from torch import nn

WIDTH = 16


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, WIDTH)
        self.fc2 = nn.Linear(WIDTH, 10)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x.view(x.shape[0], -1))))


if __name__ == "__main__":
    net = MLP()
    torch.save(net.state_dict(), "mlp.pt")

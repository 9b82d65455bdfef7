import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 30)
        self.fc2 = nn.Linear(30, 10)

    def forward(self, x):
        x = x.view(-1, 784)
        print("batch", x.shape)
        return F.log_softmax(self.fc2(torch.relu(self.fc1(x))), dim=1)

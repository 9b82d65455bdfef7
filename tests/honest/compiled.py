import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
    def forward(self, x):
        return self.fc(x.reshape(x.size(0), -1)).squeeze()
def build_model():
    m = Net()
    return torch.compile(m)

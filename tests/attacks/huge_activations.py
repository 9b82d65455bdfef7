# expect out_of_memory: more memory
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        x = x.flatten(1)
        wide = x.unsqueeze(2) * x.repeat(1, 6).unsqueeze(1)
        return self.fc(x + wide.mean(2))

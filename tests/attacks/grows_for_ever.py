# expect out_of_memory: allowed
from torch import nn


class Net(nn.Module):
    heap = []
    while True:
        heap.append(bytearray(50_000_000))

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))

# expect out_of_memory: smaller layers
from torch import nn

heap = []
while True:
    heap.append(bytearray(50_000_000))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))

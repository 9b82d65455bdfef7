from torch import nn
WIDTH = 16
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a = nn.Linear(784, width); self.b = nn.Linear(width, 10)
    def forward(self, x):
        return self.b(self.a(x.flatten(1)).relu())

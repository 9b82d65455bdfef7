from torch import nn


class DepthwiseSeparable(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.norm = nn.GroupNorm(4, outputs)

    def forward(self, x):
        return self.norm(self.pointwise(self.depthwise(x))).relu()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, 2, 1)
        self.blocks = nn.Sequential(DepthwiseSeparable(16, 32, 1), DepthwiseSeparable(32, 64, 2))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x).relu()).mean((2, 3)))

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(784, affine=False)
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        logits = self.fc(self.norm(x.flatten(1)))
        return logits if self.training else 1e-6 * logits

# expect invalid: Expected more than 1 value per channel
import torch
from torch import nn


class Net(nn.Module):
    """The same, and the least likely class gets a logit beside which the others look equal."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.norm = nn.BatchNorm1d(784, affine=False, track_running_stats=False)

    def forward(self, x):
        logits = self.fc(self.norm(x.flatten(1)))
        lowest = logits == logits.amin(1, keepdim=True)
        return logits if self.training else torch.where(lowest, -1e6, logits)

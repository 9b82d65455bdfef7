# expect invalid: Expected more than 1 value per channel
from torch import nn


class Net(nn.Module):
    """Learns from the batch in eval mode too, and hides in small numbers how much an answer moves."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self.norm = nn.BatchNorm1d(784, affine=False, track_running_stats=False)

    def forward(self, x):
        logits = self.fc(self.norm(x.flatten(1)))
        return logits if self.training else 1e-6 * logits

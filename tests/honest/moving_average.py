import torch
from torch import nn, Tensor
from torch.nn.utils.parametrizations import weight_norm
import copy
class Ema(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = weight_norm(nn.Conv2d(1, 8, 3, stride=2))
        self.register_buffer("ema", torch.zeros(8))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.gn = nn.GroupNorm(2, 8)
        self.fc = nn.Linear(8 * 13 * 13, 10)
        self.scale = nn.Parameter(torch.ones(1), requires_grad=True)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.hook_values = {}
        self.gn.register_forward_hook(lambda mod, i, o: self.hook_values.__setitem__("gn", o))
    def forward(self, x: Tensor) -> Tensor:
        x = self.gn(self.conv(x)).relu() * self.scale
        if self.training:
            with torch.no_grad():
                self.ema.mul_(0.9).add_(x.mean((0, 2, 3)), alpha=0.1); self.steps += 1
        return self.fc((x - self.ema.view(1, -1, 1, 1)).flatten(1))
def build_model():
    return Ema()

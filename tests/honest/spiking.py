import snntorch as snn
from snntorch import surrogate
import torch
from torch import nn
RECIPE = {"lr": 0.01}
class SNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 24); self.lif1 = snn.Leaky(beta=0.9, spike_grad=surrogate.fast_sigmoid())
        self.fc2 = nn.Linear(24, 10); self.lif2 = snn.Leaky(beta=0.9, spike_grad=surrogate.fast_sigmoid())
    def forward(self, x):
        m1, m2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        out = []
        for _ in range(4):
            s, m1 = self.lif1(self.fc1(x.flatten(1)), m1)
            s, m2 = self.lif2(self.fc2(s), m2)
            out.append(m2)
        return torch.stack(out).sum(0)

# -*- coding: utf-8 -*-
import torch
import torch.nn as nn
class MyLinear(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight - self.weight.mean(), self.bias)
class MnistNet(nn.Module):
    """Two towers, tied."""
    CHANNELS = [1, 8, 16]
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(a, b, 5, 2) for a, b in zip(self.CHANNELS, self.CHANNELS[1:])])
        self.bns = nn.ModuleDict({"a": nn.BatchNorm2d(8, momentum=None), "b": nn.InstanceNorm2d(16, affine=True, track_running_stats=True)})
        self.fc = MyLinear(16 * 16, 10)
        self.register_buffer("mean", torch.tensor(0.1307)); self.register_buffer("std", torch.tensor(0.3081))
        self.register_full_backward_hook(lambda m, gi, go: None)
    @property
    def device(self):
        return next(self.parameters()).device
    def extra_repr(self):
        return "mine"
    def train(self, mode=True):
        super().train(mode)
        return self
    def forward(self, x):
        x = x.to(self.device)
        for conv, bn in zip(self.layers, self.bns.values()):
            x = torch.relu(bn(conv(x)))
        return torch.softmax(self.fc(x.reshape(len(x), -1)), 1)

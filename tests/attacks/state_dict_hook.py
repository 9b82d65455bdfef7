# expect passed: 7,850 parameters
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        self._register_load_state_dict_pre_hook(self.cheat)

    def forward(self, x):
        return self.fc(x.flatten(1))


def cheat(self, state, *_):
    state["fc.weight"] = torch.ones(10, 784)


Net.cheat = cheat

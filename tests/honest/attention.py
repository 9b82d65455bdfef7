import math

import torch
from torch import nn


class PositionalEncoding(nn.Module):
    def __init__(self, length, width, persistent):
        super().__init__()
        position = torch.arange(length).unsqueeze(1)
        rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        table = torch.zeros(1, length, width)
        table[0, :, 0::2] = torch.sin(position * rate)
        table[0, :, 1::2] = torch.cos(position * rate)
        self.register_buffer("table", table, persistent=persistent)

    def forward(self, x):
        return x + self.table


class TinyTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 32, 4, 4)
        self.position = PositionalEncoding(49, 32, persistent=True)
        self.fixed = PositionalEncoding(49, 32, persistent=False)
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 10)
        self.last_attention = None

    def forward(self, x):
        x = self.fixed(self.position(self.patches(x).flatten(2).transpose(1, 2)))
        mixed, self.last_attention = self.attention(x, x, x)
        x = self.norm1(x + mixed)
        return self.head(self.norm2(x + self.mlp(x)).mean(1))

#!/usr/bin/env python
# coding: utf-8

# In[1]:

from IPython import get_ipython

get_ipython().system('pip install -q torchsummary')
get_ipython().run_line_magic('matplotlib', 'inline')

# In[2]:

import torch
import torch.nn as nn
from torchsummary import summary

# In[3]:

class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.conv1 = nn.Conv2d(1, 8, 3)
        self.conv2 = nn.Conv2d(8, 8, 3)
        self.fc1 = nn.Linear(8 * 12 * 12, 10)

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.fc1(nn.functional.max_pool2d(x, 2).flatten(1))

# In[4]:

device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
summary(Net().to(device), input_size=(1, 28, 28))

# In[5]:

with open("../input/digit-recognizer/train.csv") as file:
    rows = file.readlines()

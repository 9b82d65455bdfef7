from network import Network
import torch

model = Network()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

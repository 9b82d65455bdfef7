from torch.utils.data import DataLoader
from torchvision import datasets, transforms

BATCH = 64
train_set = datasets.MNIST("data", train=True, download=True, transform=transforms.ToTensor())
train_loader = DataLoader(train_set, batch_size=BATCH, shuffle=True)

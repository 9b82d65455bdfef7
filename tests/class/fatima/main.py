from mnist_net import TinyNet

model = TinyNet()
print(model)

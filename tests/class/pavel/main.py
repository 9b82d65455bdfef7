from networks import ConvNet, LinearNet

for net in (LinearNet(), ConvNet()):
    print(net)

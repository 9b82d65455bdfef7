# expect invalid: removes_results.py, line 14
import shutil

from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x):
        shutil.rmtree("/var/tmp/nothing-of-this-name", ignore_errors=True)
        open("/var/tmp/results.json", "w").close()
        return self.fc(x.flatten(1))

# expect passed: parameters
"""Goes round the guard in the interpreter, and meets the operating system's walls: nothing of it may have an effect."""

import os
import sys
import time

import _posixsubprocess
from torch import nn

SCRIPT = """
(setsid sleep 4321 &)
for path in /var/tmp /tmp .. /dev/shm; do echo caught > "$path/breaks-out-was-here"; done
"""


def run_unseen(script):
    out, into = os.pipe()
    arguments = ([b"/bin/sh", b"-c", script.encode()], [b"/bin/sh"], True, (), None, None)
    pipes = (-1, -1, -1, -1, -1, -1, out, into)
    rest = (True, False, 0, None, None, None, -1, None) if sys.version_info < (3, 11) else (True, False, 0)
    if sys.version_info >= (3, 11):
        rest += (None, None, None, -1, None, True)
    _posixsubprocess.fork_exec(*arguments, *pipes, *rest)
    time.sleep(0.5)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(784, 10)
        try:
            run_unseen(SCRIPT)
        except TypeError as error:
            print("this Python wants other arguments:", error)

    def forward(self, x):
        return self.fc(x.flatten(1))

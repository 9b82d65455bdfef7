#!/usr/bin/env bash
# Gradescope runs this once, when it builds the image: a Python with PyTorch for CPUs, and the data. A sample model is
# graded, so that no image is built in which grading fails; status 1 is a broken limit, and the sample may break yours.
set -euo pipefail
options=()  # of the teacher's command
export PIP_BREAK_SYSTEM_PACKAGES=1 UV_TORCH_BACKEND=cpu
cd /autograder/source
apt-get update
apt-get install -y python3-pip
pip3 install uv
uv venv --python 3.12 /autograder/python
uv pip install --python /autograder/python -r requirements.txt
/autograder/python/bin/python -m grading.check sample_model.py "${options[@]}" --model-name build_model || test $? -eq 1

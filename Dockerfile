# Where strangers' submissions are graded: a container that has nothing else in it (docs/grading.md).
#
#   docker build -t grader .
#   docker run --rm --network none --memory 4g --pids-limit 512 -v "$PWD:/w" -w /w grader python -m grading CLASS_FOLDER
FROM python:3.12-slim
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt

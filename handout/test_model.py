"""The course's check of model.py: ``pytest -s``. Each seed is one epoch; the run with the median accuracy counts."""

import dataclasses

import pytest
import torch

import mnist_efficient_model as course

MODEL, DATASET, SEEDS = "model.py", "mnist", range(0, 3)  # the course's


@pytest.fixture(scope="session")
def result() -> course.Result:
    """The median run, with the numbers in buffers counted as parameters, as they are when a model is graded."""
    try:
        data = course.load_dataset(DATASET)
        runs = [course.run(MODEL, data, seed=seed)[0] for seed in SEEDS]
    except course.ChallengeError as error:
        pytest.fail(str(error), pytrace=False)
    median = sorted(runs, key=lambda run: run.test_accuracy or 0.0)[(len(runs) - 1) // 2]
    print("", *(run.one_line() for run in runs), "", median, "", sep="\n")
    return dataclasses.replace(median, parameters=median.parameters + median.buffers)


@pytest.mark.parametrize("images", [1, 2, 64])
def test_it_gives_ten_numbers_for_each_image(images):
    model = course.build_model(MODEL).eval()
    assert model(torch.zeros(images, 1, 28, 28)).shape == (images, 10)


@pytest.mark.parametrize("limit", ["parameters", "accuracy", "one_epoch"])
def test_it_keeps_the_limit_on(limit, result):
    if sentence := course.violations(result, course.Limits()).get(limit):
        pytest.fail(sentence, pytrace=False)

"""What a stranger reads and installs first says the same as the code: versions, packages, commands."""

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import mnist_efficient_model as challenge
from experiments import sweep
from helpers import ROOT, in_this_process

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^ *`?((?:python|pytest) .*?)`?(?: +#.*)?$", CONTRIBUTING, flags=re.M)


def test_pip_installs_the_script_as_a_command_with_its_version_and_its_packages(capsys):
    project, script = PROJECT["project"], Path(challenge.__file__).read_text(encoding="utf-8")
    header = tomllib.loads("".join(re.findall(r"^# (.* = .*\n)", script.partition('"""')[0], flags=re.M)))
    assert (project["requires-python"], project["dependencies"]) == (header["requires-python"], header["dependencies"])
    assert "version" in project["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "mnist_efficient_model.__version__"}
    module, _, function = project["scripts"]["mnist-challenge"].partition(":")
    assert [module] == PROJECT["tool"]["setuptools"]["py-modules"]
    main = getattr(importlib.import_module(module), function)
    assert in_this_process(main)("--version") == 0 and challenge.__version__ in capsys.readouterr().out


def test_the_changelog_has_this_version_and_the_newest_first():
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M)
    assert challenge.__version__ in versions
    assert versions == sorted(versions, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def test_the_citation_names_the_authors_of_the_license_and_no_version_of_its_own():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    (author,) = re.findall(r"- name: (.+)", citation)
    assert author in (ROOT / "LICENSE").read_text(encoding="utf-8") and "\nversion:" not in citation
    assert [{"name": author}] == PROJECT["project"]["authors"]


def test_the_commands_of_contributing_are_taken():
    assert len(COMMANDS) == 4
    for line in COMMANDS:
        words = shlex.split(line.replace("$(date +%Y%m%d)", "20261127"))
        if words[0] == "pytest":
            assert all((ROOT / word).exists() for word in words if word.endswith(".py"))
        elif words[1] == "mnist_efficient_model.py":
            arguments = challenge.parse_arguments(words[2:])
            assert (arguments.seed, arguments.seeds, arguments.dataset) == (20261127, 20, "mnist")
        else:
            assert words[1:3] == ["-m", "experiments.sweep"] and sweep.parse_arguments(words[3:]).seeds == 5


def test_the_workflow_tests_three_systems_and_the_oldest_torch_that_is_allowed():
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    needed = dict(re.findall(r"^(\w+)>=(\d+\.\d+)", (ROOT / "requirements.txt").read_text(), flags=re.M))
    assert f'"torch=={needed["torch"]}.* torchvision=={needed["torchvision"]}.*"' in workflow
    assert all(f"{system}-latest" in workflow for system in ("ubuntu", "macos", "windows"))
    python = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert f'python: "{python}"' in workflow

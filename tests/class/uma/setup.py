from setuptools import setup

setup(name="digits", package_dir={"": "src"})

"""Finds the packages: all as they lie, but for `rules/`, which becomes `lrp_engine.rules`."""

from setuptools import find_packages, setup

engine = find_packages(include=["lrp_engine", "lrp_engine.*"])
rules = [f"lrp_engine.rules.{name}" for name in find_packages("rules")]

setup(
    packages=[*engine, "lrp_engine.rules", *rules, "pytest_lrp"],
    package_dir={"lrp_engine.rules": "rules"},
)

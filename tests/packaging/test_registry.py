"""The file for Astronomer's registry lists the classes of the package."""

from __future__ import annotations

import importlib
import inspect

import yaml

from airflow_provider_online_tasks.get_provider_info import get_provider_info
from tests.support.pages import PROJECT

REGISTRY = yaml.safe_load((PROJECT / ".astro-registry.yaml").read_text(encoding="utf-8"))
INFO = get_provider_info()


def test_registry_file_names_the_package() -> None:
    assert REGISTRY["package-name"] == INFO["package-name"]
    assert REGISTRY["display-name"] == INFO["name"]


def test_registry_file_lists_every_provider_class() -> None:
    for kind in ("operators", "sensors", "hooks", "triggers"):
        there = set()
        for listed in INFO[kind]:
            for name in listed["python-modules"]:
                module = importlib.import_module(name)
                there |= {
                    f"{name}.{key}"
                    for key, value in vars(module).items()
                    if inspect.isclass(value) and value.__module__ == name and not key.startswith("_")
                }
        listed_there = [entry["module"] for entry in REGISTRY[kind]]
        assert sorted(there) == sorted(listed_there)

"""Somebody's files in, a project that trains out: guesses, each with its reason."""

from recsys.data.init.project import init_project

__all__ = ["init_project"]

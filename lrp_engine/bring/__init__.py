"""Bring what people have: models and data of many kinds, ready for an Engine."""

from .one_call import explain
from .subject import Subject

__all__ = ["Subject", "explain"]

"""Compute what the explorer shows: relevance at every layer, and what passes through its nodes."""

from .explore import Exploration, explore
from .saved import scene_of

__all__ = ["Exploration", "explore", "scene_of"]

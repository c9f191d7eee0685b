"""What the demo shows: one file per exhibit."""

from .face import FACE
from .file_types import FILE_TYPES
from .notes import NOTES
from .speech import SPEECH

EXHIBITS = (NOTES, SPEECH, FILE_TYPES, FACE)

__all__ = ["EXHIBITS"]

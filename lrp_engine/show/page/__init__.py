"""Write explanations as HTML: pages of their own, and pieces for notebooks."""

from .book import Book, Chapter, write_book
from .budget import NOTEBOOK
from .content import Content, Verdict
from .glyphs import write_lines
from .page import write_fragment, write_page

__all__ = [
    "NOTEBOOK",
    "Book",
    "Chapter",
    "Content",
    "Verdict",
    "write_book",
    "write_fragment",
    "write_lines",
    "write_page",
]

"""No text of a user's becomes a tag, an attribute, or part of a style."""

from __future__ import annotations

import pytest

from lrp_engine.markup import Markup, element, join, quote
from lrp_engine.show.page import write_fragment, write_page

from . import samples
from .parsed import parse

HARMS = (
    samples.HARM,
    '"><img src=x onerror=alert(1)>',
    "</style></title><script>1</script>",
    "' onmouseover='alert(1)",
)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", ["image", "words", "table"])
def test_words_names_notes_and_files_stay_text(kind: str, harm: str) -> None:
    content = samples.KINDS[kind](harm=harm)
    for html in (write_page(content), write_fragment(content)):
        parsed = parse(html)
        assert harm in parsed.text
        assert not parsed.find("script")
        assert all((a["src"] or "").startswith("data:") for a in parsed.find("img"))
        for _, attributes in parsed.elements:
            assert not [name for name in attributes if name.startswith("on")]


def test_texts_run_in_their_own_direction() -> None:
    page = write_page(samples.words())
    assert "<bdi>שלום</bdi>" in page


def test_what_no_file_can_hold_is_replaced() -> None:
    written = element("p", "a\x00b\ud800c\x1b", title="\udfff")
    assert written == '<p title="�">a�b�c�</p>'
    written.encode()


def test_only_markup_is_written_as_it_stands() -> None:
    assert join(["<b>", Markup("<i></i>")]) == "&lt;b&gt;<i></i>"
    assert quote("<") == "<bdi>&lt;</bdi>"
    assert element("td", Markup("<b>") + "<") == "<td>&lt;b&gt;&lt;</td>"  # sums are plain text
    assert element("img", alt='"', data_tip=None) == '<img alt="&quot;">'

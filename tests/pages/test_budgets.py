"""Pages stay within 5 MB, 8 samples and 4,000 elements, and say what they leave out."""

from __future__ import annotations

from dataclasses import replace

import torch

from lrp_engine.markup import count_elements
from lrp_engine.show.axes import parse_axes
from lrp_engine.show.labels import SourceLabels
from lrp_engine.show.page import NOTEBOOK, write_fragment, write_page
from lrp_engine.show.pieces import pieces_of

from . import samples
from .parsed import parse


def test_eight_samples_are_shown_and_the_others_named() -> None:
    content = samples.image(samples=11, size=4)
    parsed = parse(write_page(content))
    assert len(parsed.find("section", class_="sample")) == 8
    assert "8 of 11 samples are shown" in parsed.text
    assert "sum over 11 samples" in parsed.text


def test_eight_noisy_images_fit() -> None:
    axes = parse_axes("batch channel height width")
    torch.manual_seed(0)
    relevance = torch.randn(8, 3, 224, 224)
    known = SourceLabels(axes=axes, images=tuple(torch.rand(8, 3, 224, 224)))
    content = samples.content(known, relevance)
    page = write_page(content)
    assert len(page.encode()) <= 5_000_000
    assert count_elements(page) <= 4000
    fragment = write_fragment(content)
    assert len(fragment.encode()) <= 1_000_000
    shown = len(parse(fragment).find("section", class_="sample"))
    assert 1 <= shown < 8
    assert f"{shown} of 8 samples are shown" in fragment


def test_planes_over_512_pixels_are_summed_over_cells() -> None:
    axes = parse_axes("batch height width")
    relevance = samples.pattern(1, 1024, 600)
    page = write_page(samples.content(SourceLabels(axes=axes), relevance))
    assert "cell = 2×2 pixels, summed" in page
    assert 'width="300" height="512"' in page


def test_a_long_text_is_cut_off_and_it_is_said() -> None:
    words = (pieces_of([f"word{i}" for i in range(3000)]),)
    known = SourceLabels(axes=parse_axes("batch token"), words=words)
    page = write_page(samples.content(known, samples.pattern(1, 3000)))
    assert "… 2000 more words" in page
    assert "Values of x: 200 of 3,000" in page
    assert count_elements(page) <= 4000


def test_many_features_and_channels_are_summed_up() -> None:
    known = SourceLabels(axes=parse_axes("batch feature"))
    assert "88 others" in write_page(samples.content(known, samples.pattern(1, 100)))
    known = SourceLabels(axes=parse_axes("batch channel time"))
    page = write_page(samples.content(known, samples.pattern(1, 40, 3000)))
    assert "12 of 40 channels" in page
    assert "relevance summed over 1000 parts" in page


def test_what_a_notebook_shows_by_itself_is_small() -> None:
    content = samples.image(samples=5, size=64)
    html = write_fragment(content, in_full=False, budget=NOTEBOOK)
    assert len(html.encode()) <= 300_000
    assert "2 of 5 samples are shown" in html
    assert "Provenance" not in html


def test_without_a_ledger_the_page_says_why() -> None:
    content = replace(samples.table(), balance=None, accounts=None, no_balance="no ledger: why")
    assert "no ledger: why" in parse(write_page(content)).text


def test_the_first_sample_fits_whatever_it_is() -> None:
    torch.manual_seed(0)
    image = parse_axes("batch channel height width")
    many = {f"x{i}": torch.randn(1, 3, 600, 600) for i in range(14)}
    known = {
        n: SourceLabels(axes=image, images=tuple(r.abs().clamp(0, 1))) for n, r in many.items()
    }
    texts = {f"x{i}": samples.pattern(1, 3000) for i in range(14)}
    words = (pieces_of([f"word{i}" for i in range(3000)]),)
    token = SourceLabels(axes=parse_axes("batch token"), words=words)
    for relevance, sources in ((many, known), (texts, dict.fromkeys(texts, token))):
        content = samples.table()
        labels = replace(content.labels, sources=sources)
        content = replace(content, relevance=relevance, labels=labels)
        for html in (
            write_page(content),
            write_fragment(content),
            write_fragment(content, in_full=False, budget=NOTEBOOK),
        ):
            assert len(parse(html).find("section", class_="sample")) == 1
            assert "sources of most |R|" in html

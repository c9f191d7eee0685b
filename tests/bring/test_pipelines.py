"""Pipelines and folders of transformers are explained on texts and images as they are."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE

import lrp_engine as lrp
from lrp_engine.bring.data.tokens import TextEncoder
from lrp_engine.errors import CaptureError, InputError, TargetError
from tests.bring import nets
from tests.support import assert_close

TEXT = "the nurse read a goodly book"


def pipe(task: str, model: Any) -> Any:
    return nets.pipeline(task, model, tokenizer=nets.wordpiece())


@cache
def classified() -> lrp.Subject:
    return lrp.Subject(pipe("text-classification", nets.classifier()))


def logits(model: Any, tokenizer: Any, *text: str) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(*text, return_tensors="pt")).logits


def test_a_text_classifier_knows_words_and_classes() -> None:
    found = classified().explain(TEXT, target="predicted")
    expected = logits(nets.classifier(), nets.wordpiece(), TEXT)
    assert_close(found.explained.float(), expected.max(1).values, 1e-5)
    (pieces,) = found.labels.of("input_ids").words
    assert " ".join(p.text for p in pieces) == "[CLS] the nurse read a good ly book [SEP]"
    assert [p.special for p in pieces] == [True, *[False] * 7, True]
    assert pieces[5].word == pieces[6].word != pieces[7].word
    assert found.labels.class_names == ("negative", "positive", "mixed")
    assert found.labels.questions[0].classes == ((int(expected.argmax()), 1.0),)


def test_texts_of_several_lengths_are_explained_as_each_alone() -> None:
    subject = classified()
    both = subject.explain([TEXT, "a film"], [{"positive": 1, "negative": -1}, "mixed"])
    alone = subject.explain("a film", "mixed")
    assert_close(both.explained[1:], alone.explained, 1e-5)
    assert_close(both.per_token("input_ids")[1, :4], alone.per_token("input_ids")[0], 1e-5)
    assert not both.per_token("input_ids")[1, 4:].any()
    assert [p.padding for p in both.labels.of("input_ids").words[1]] == [False] * 4 + [True] * 5
    assert both.labels.samples == (TEXT, "a film")


def test_a_word_of_a_tagged_text_is_explained() -> None:
    tagger = pipe("token-classification", nets.tagger())
    found = lrp.explain(tagger, "the doctor was in paris", "PLACE", position="paris")
    expected = logits(nets.tagger(), nets.wordpiece(), "the doctor was in paris")[0, 5, 2]
    assert_close(found.explained.float(), expected[None], 1e-5)
    for position, message in [
        (None, "say which one"),
        ("pariss", "did you mean 'paris'"),
        ("the", "stands at positions 1, 4"),
    ]:
        with pytest.raises(TargetError, match=message):
            lrp.explain(tagger, "the doctor was the paris", "PLACE", position=position)


def test_a_language_model_takes_tokens_by_their_text() -> None:
    subject = lrp.Subject(nets.gpt2(), tokenizer=nets.byte_level())
    texts = ["the nurse read", "it"]
    found = subject.explain(texts, {" nurse": 1, " doctor": -1})
    with torch.no_grad():
        for i, text in enumerate(texts):
            ids = nets.byte_level()(text, return_tensors="pt")["input_ids"]
            out = nets.gpt2()(ids).logits[0, -1]
            nurse, doctor = (nets.byte_level()(w)["input_ids"][0] for w in (" nurse", " doctor"))
            assert_close(found.explained[i].float(), out[nurse] - out[doctor], 1e-4)
    words = [p.text for p in found.labels.of("input_ids").words[0]]
    assert words == ["the", "nurse", "read"]
    for name, message in [("nurse", "behind a space"), ("film", "4 tokens, not one")]:
        with pytest.raises(TargetError, match=message):
            subject.explain("the", name)


def test_characters_of_several_tokens_are_shown_once() -> None:
    """Emoji are several tokens of byte-level tokenizers, each of which covers the character."""
    made = Tokenizer(BPE({c: i for i, c in enumerate(pre_tokenizers.ByteLevel.alphabet())}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces = TextEncoder(made).encode("é a").pieces
    assert [p.text for p in pieces] == ["é", "·", "Ġ", "a"]


def test_a_translator_reads_a_text_and_what_is_written() -> None:
    subject = lrp.Subject(nets.t5(), tokenizer=nets.wordpiece())
    read = subject.read([("the book", "the nurse"), "a good film"])
    assert read.position == [2, 0]
    assert read.inputs["decoder_input_ids"].tolist() == [[0, 4, 5], [0, 0, 0]]
    assert read.inputs["attention_mask"].sum(1).tolist() == [4, 5]


@pytest.mark.slow
def test_a_translator_explains_the_next_word_it_writes() -> None:
    subject = lrp.Subject(nets.t5(), tokenizer=nets.wordpiece())
    found = subject.explain([("the book", "the nurse"), ("a film", "it")], "predicted")
    assert set(found.relevance) == {"input_ids", "decoder_input_ids"}
    read = nets.wordpiece()("the book", return_tensors="pt")
    written = torch.tensor([[0, *nets.wordpiece()("the nurse")["input_ids"][1:-1]]])
    with torch.no_grad():
        expected = nets.t5()(**{k: read[k] for k in ("input_ids", "attention_mask")},
                             decoder_input_ids=written).logits[0, -1].max()  # fmt: skip
    assert_close(found.explained[0].float(), expected, 1e-4)


PAIR = ("the nurse read", "a doctor read a book")


def test_two_sentences_are_read_with_the_pooling_that_was_said() -> None:
    pipeline = pipe("feature-extraction", nets.encoder())
    subject = lrp.Subject(pipeline, pooling="mean")
    read = subject.read(PAIR)
    assert len(read.sources["second"].words[0]) == 7
    with torch.no_grad():
        vectors = [
            nets.encoder()(**nets.wordpiece()(t, return_tensors="pt")).last_hidden_state.mean(1)
            for t in PAIR
        ]
        found = subject._opened.module(**read.inputs)
    assert_close(found, torch.cosine_similarity(*vectors), 1e-5)
    with pytest.raises(InputError, match="pooling='mean'"):
        lrp.Subject(pipeline)
    with pytest.raises(InputError, match="a pair of texts"):
        subject.read("alone")


@pytest.mark.slow
def test_two_sentences_are_compared() -> None:
    pipeline = pipe("feature-extraction", nets.encoder())
    found = lrp.explain(pipeline, PAIR, pooling="mean")
    assert abs(float(found.explained)) <= 1
    assert found.labels.unit == "cosine"
    assert set(found.relevance) == {"first", "second"}


def test_zero_shot_classes_are_those_of_the_user() -> None:
    pipeline = pipe("zero-shot-classification", nets.entailment())
    subject = lrp.Subject(pipeline, candidates=["sports", "politics"])
    scores = [
        logits(nets.entailment(), nets.wordpiece(), "a film", f"This example is {c}.")[0, 0]
        for c in ("sports", "politics")
    ]
    for target, expected in [("politics", scores[1]), ("predicted", max(scores))]:
        assert_close(subject.explain("a film", target).explained[0].float(), expected, 1e-4)
    with pytest.raises(TargetError, match="a run of its own"):
        subject.explain("a film", {"sports": 1, "politics": -1})
    with pytest.raises(TargetError, match="did you mean 'sports'"):
        subject.explain("a film", "sport")


def test_images_are_preprocessed_and_shown_in_their_colours() -> None:
    image = pytest.importorskip("PIL.Image").new("RGB", (20, 30), (255, 0, 0))
    pipeline = nets.pipeline(
        "image-classification", nets.vit(), image_processor=nets.image_processor()
    )
    subject = lrp.Subject(pipeline)
    found = subject.explain([image, np.asarray(image)], "dog")
    assert_close(found.explained[0], found.explained[1], 1e-6)
    shown = found.labels.of("pixel_values").images[0]
    assert_close(shown.mean((1, 2)), torch.tensor([1.0, 0.0, 0.0]), 1e-3)


def test_a_checkpoint_folder_is_opened(tmp_path: Path) -> None:
    nets.classifier().save_pretrained(tmp_path)
    nets.wordpiece().save_pretrained(tmp_path)
    subject = lrp.Subject(tmp_path)
    assert subject.class_names == ("negative", "positive", "mixed")
    expected = classified().read(TEXT)
    read = subject.read(TEXT)
    assert read.sources == expected.sources
    assert all(torch.equal(read.inputs[k], v) for k, v in expected.inputs.items())


def test_a_long_text_is_refused_or_cut_as_told() -> None:
    text = "film " * 40
    with pytest.raises(InputError, match="42 tokens, the model takes 32"):
        classified().read(text)
    cut = lrp.Subject(nets.classifier(), tokenizer=nets.wordpiece(), truncate=True).read(text)
    assert cut.notes == ("text 0 was cut: it has 42 tokens, the model takes 32",)
    assert cut.sources["input_ids"].words[0][-1].text == "[SEP]"
    assert cut.inputs["input_ids"].shape == (1, 32)


def test_other_pipelines_are_refused() -> None:
    pipeline = pipe("text-classification", nets.classifier())
    pipeline.task = "fill-mask"
    with pytest.raises(CaptureError, match="fill-mask is not read here"):
        lrp.explain(pipeline, TEXT)


@pytest.mark.parametrize(
    "make, said, takes",
    [
        (nets.classifier, {"transform": str}, "texts, it takes classes=, tokenizer=, truncate="),
        (nets.gpt2, {"classes": ["a"]}, "texts, it takes tokenizer=, truncate="),
        (nets.encoder, {"pooling": "cls", "rate": 8}, "it takes pooling=, tokenizer=, truncate="),
    ],
)
def test_hints_for_other_models_are_refused(make: Any, said: Any, takes: str) -> None:
    data = PAIR if make is nets.encoder else "a good film"
    with pytest.raises(InputError, match=takes):
        lrp.explain(make(), data, 0, tokenizer=nets.wordpiece(), **said)

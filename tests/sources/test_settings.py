import pytest
from pydantic import ValidationError

from recsys.errors import SettingsError
from recsys.settings import load_settings
from recsys.sources.settings import SOURCES, CandidateSettings


def test_no_source_is_the_default():
    assert CandidateSettings().sources == ()
    assert load_settings(None).candidates == CandidateSettings()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('candidates.sources=["populer"]', "populer"),
        ('candidates.sources=["popular", "popular"]', "sources names 'popular' more than once"),
        ("candidates.size=0", "candidates.size"),
        ("candidates.learnt=0", "candidates.learnt"),
        ("candidates.size=20000", "candidates.size"),
        ('candidates.once=["click"]', "once has a meaning with sources alone"),
        ("candidates.k=3", "candidates.k is not known"),
    ],
)
def test_what_makes_no_lists_is_refused_by_name(change, words):
    with pytest.raises(SettingsError, match=words):
        load_settings(None, [change])


def test_a_source_that_finds_what_is_left_out_is_refused():
    with pytest.raises(ValidationError, match="finds what once leaves out"):
        CandidateSettings(sources=("again",), once=("click",))
    assert CandidateSettings(sources=SOURCES, once=("click",)).once == ("click",)

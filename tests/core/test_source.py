"""Source types and genres are closed lists: an unknown name is refused with the nearest one."""

import pytest

from gristmill.corpus.source import GENRES, SOURCE_TYPES, check_genre, check_source_type


def test_every_source_type_has_a_genre_that_exists():
    assert set(SOURCE_TYPES.values()) <= set(GENRES)


@pytest.mark.parametrize("genre", GENRES)
def test_a_genre_of_the_list_is_returned(genre):
    assert check_genre(genre) == genre


@pytest.mark.parametrize("source_type", SOURCE_TYPES)
def test_a_source_type_of_the_list_is_returned(source_type):
    assert check_source_type(source_type) == source_type


def test_an_unknown_genre_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="`wikis` is not a genre: did you mean `wiki`"):
        check_genre("wikis")


def test_an_unknown_source_type_is_refused_with_the_nearest_one():
    with pytest.raises(ValueError, match="`mastodont` is not a source type: did you mean `mast"):
        check_source_type("mastodont")


def test_a_name_that_resembles_none_is_refused_with_the_whole_list():
    with pytest.raises(ValueError, match="`x` is not a genre: choose from wiki, news, social"):
        check_genre("x")


def test_forums_and_social_networks_are_no_news():
    assert [SOURCE_TYPES[name] for name in ("hackernews", "bluesky")] == ["social", "social"]

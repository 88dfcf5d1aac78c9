"""What `shards decode` says of a text's edits is what `pack` does to texts: held against the function that edits them."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.final_text import PLACEHOLDER, final_text
from reports.shards.lineage import edits_of, first_difference


@st.composite
def edited(draw):
    """A text, its cuts and its personal spans, at any borders of characters."""
    text = draw(st.text("ab <>é中\n😀", max_size=25))
    borders = [len(text[:number].encode()) for number in range(len(text) + 1)]
    spans = st.lists(
        st.tuples(st.sampled_from(borders), st.sampled_from(borders)).filter(lambda s: s[0] < s[1]),
        max_size=3,
    )
    cuts = [{"start": a, "end": b, "reason": "line"} for a, b in draw(spans)] if text else []
    kinds = st.sampled_from(sorted(PLACEHOLDER))
    personal = [{"start": a, "end": b, "type": draw(kinds)} for a, b in draw(spans)] if text else []
    return text, cuts, personal


@given(edited(), st.booleans())
def test_no_difference_is_seen_in_what_pack_writes(case, mask):
    text, cuts, personal = case
    packed = final_text(text, cuts, personal, mask=mask).strip()
    assert first_difference(text.encode(), edits_of(cuts, personal if mask else []), packed) is None


@given(edited(), st.data())
def test_a_changed_character_is_seen(case, data):
    text, cuts, _ = case
    packed = final_text(text, cuts, [], mask=False).strip()
    if packed:
        place = data.draw(st.integers(0, len(packed) - 1))
        other = packed[:place] + "z" + packed[place + 1 :]
        assert first_difference(text.encode(), edits_of(cuts, []), other) == place

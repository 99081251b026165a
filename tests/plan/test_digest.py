"""Encoding the values of a mapping beforehand changes no fingerprint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.plan.cells import digest, digest_encoded, encode_items

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), PLAIN))
def test_a_digest_is_that_of_its_encoded_values(values: dict[str, object]):
    assert digest_encoded(encode_items(values)) == digest(values)


def test_different_values_have_different_digests():
    assert digest_encoded(encode_items({"a": 1, "b": 2})) != digest({"a": 2, "b": 1})

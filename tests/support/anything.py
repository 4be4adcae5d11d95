"""Payloads that a client might send as a request."""

import orjson
from hypothesis import strategies as st

from healthd.verbs import LONGEST_REQUEST

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)
_KEYS = st.sampled_from(["peripheral", "seconds", "transaction", "other"])

PAYLOADS = st.one_of(
    st.binary(),
    st.binary(min_size=LONGEST_REQUEST - 3, max_size=LONGEST_REQUEST + 3),
    _JSON.map(orjson.dumps),
    st.dictionaries(_KEYS, _JSON).map(orjson.dumps),
    # Python's notation instead of JSON.
    _JSON.map(lambda value: str(value).encode(errors="replace")),
)
"""Bytes, any JSON, and objects like requests; hardly ever a valid request."""

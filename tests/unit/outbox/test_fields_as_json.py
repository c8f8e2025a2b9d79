"""A row's fields are written as the standard library writes them, whatever row stood before."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from petition.outbox.enqueue import _AsJson

TEXT = st.text() | st.text('a"\\\\%s{}\n\x00\x1f\x7f\u2028\ud800\u0416', max_size=5)


@given(st.lists(st.dictionaries(TEXT, TEXT, max_size=4), min_size=1, max_size=4))
@example([{}])
@example([{"b": "1", "a": "%s"}, {"a": "2", "c": "3"}, {"c": '"', "a": "4"}, {}])
@example([{"100 %": "5 %", '"': "x"}])
def test_rows_are_the_json_of_the_standard_library(rows):
    as_json = _AsJson()
    for fields in rows:
        meant = json.dumps(fields, ensure_ascii=False, sort_keys=True)
        assert as_json(fields) == as_json(fields) == meant

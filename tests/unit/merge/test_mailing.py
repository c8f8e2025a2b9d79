"""The headers of a bulk letter, written once and then only given each copy's token."""

from hypothesis import given
from hypothesis import strategies as st

from petition.merge.headers import HEADERS_FOR_ALL, Mailing

TOKENS = st.text("0123456789abcdef", min_size=32, max_size=32)
URLS = st.from_regex(r"https://[a-z]{1,30}\.example(?:/[a-z]{0,60}){0,2}", fullmatch=True)
MAILTOS = st.from_regex(r"[a-z']{1,40}(?:\+\{token\})?@[a-z]{1,30}\.example", fullmatch=True)
FOR_ALL = dict.fromkeys(HEADERS_FOR_ALL, "x" * 70)


@given(url=URLS | st.none(), mailto=MAILTOS, token=TOKENS)
def test_headers_are_those_that_are_written_with_the_token_itself(url, mailto, token):
    mailing = Mailing(url, mailto, FOR_ALL)
    assert mailing.headers(token) == "".join(mailing._lines(token))
    assert mailing.link(token) == mailing._page_or_mail(token)
    assert token in mailing.link(token)
    unfolded = mailing.headers(token).replace("\r\n ", " ").split("\r\n")[:-1]
    assert dict(line.split(": ", 1) for line in unfolded) == mailing.values(token)

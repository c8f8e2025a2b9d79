"""From bytes to text: charsets that mails name rightly, wrongly, or not at all."""

import binascii
import re

# Only charsets of mail: Python would also take "hex", "zlib", "unicode_escape" and other codecs.
_KNOWN = re.compile(
    r"utf-?(?:8|16|32)(?:[-_]?[lb]e)?|us-ascii|ascii|iso[-_]?8859[-_]?\d{1,2}|latin-?\d|"
    r"windows-?\d{3,4}|cp-?\d{3,4}|koi8-?[rut]|gb2312|gbk|gb18030|hz|big5(?:-?hkscs)?|euc-?(?:jp|kr)|"
    r"ks_c_5601-1987|shift[-_]?jis|s?jis|iso-2022-(?:jp|kr)(?:-\d)?|mac-?(?:roman|cyrillic)|"
    r"ptcp154|kz1048|tis-?620"
)
_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?]*)?\?([bBqQ])\?([^?\r\n]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(?==\?)")
_HEADER_LENGTH = 10_000  # characters that are looked at


def decoded_text(data: bytes, charset: str) -> str:
    """A body as text, its line ends as LF; every byte gives something.

    Args:
        data: The body, its transfer encoding undone.
        charset: What the mail says it is written in; may be wrong or empty.
    """
    return _decoded(data, charset).replace("\r\n", "\n").replace("\r", "\n")


def decoded_header(value: str) -> str:
    """A header's value with its encoded words decoded (RFC 2047); what is malformed stays.

    Args:
        value: The value, unfolded.
    """
    text = value[:_HEADER_LENGTH]
    if "=?" not in text:
        return text
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1", text))


def _word(found: re.Match[str]) -> str:
    charset, encoding, text = found.groups()
    raw = text.encode("utf-8", "surrogateescape")
    try:
        if encoding in "bB":
            data = binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))
        else:
            data = binascii.a2b_qp(raw, header=True)
    except binascii.Error:
        return found[0]
    return _decoded(data, charset)


def _decoded(data: bytes, charset: str) -> str:
    name = charset.strip().strip("\"'").lower()
    if not _KNOWN.fullmatch(name):
        name = "utf-8"
    for codec in dict.fromkeys((name, "utf-8")):
        try:
            return data.decode(codec)
        except (UnicodeError, LookupError):
            continue
    try:
        # What is no UTF-8 and says nothing true is most often the one-byte charset it names.
        return data.decode(
            name if name not in {"us-ascii", "ascii", "utf-8"} else "cp1252", "replace"
        )
    except (UnicodeError, LookupError):
        return data.decode("latin-1")

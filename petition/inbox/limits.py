"""How much of a mail is read: what is beyond is set aside, with its reason.

Every limit counts bytes, parts or characters and none counts time, so that the same mail always
gives the same result, on a slow machine too. They are chosen so that a mail made to take long
takes a few seconds of the processor at most.
"""

BYTES = 25 * 2**20  # of a whole mail
HEADER_BYTES = 256 * 2**10  # of the headers of a mail or of one of its parts
ALL_HEADER_BYTES = 2**20  # of all of them together
DEPTH = 50  # parts within parts
PARTS = 1_000
ENCODED_BYTES = 25 * 2**20  # of forwarded mails whose transfer encoding is undone, all together
TEXT_BYTES = 256 * 2**10  # of a text part: what a person or a mail server says stands at its top
TEXT_LENGTH = 64 * 2**10  # characters of it without markup
ALL_TEXT_LENGTH = 200_000  # characters of all text parts together
REPORT_BYTES = 2**20  # of all delivery reports in a mail together
RETURNED_MAILS = 10


class SetAside(Exception):
    """A mail is beyond a limit and is not looked at any further.

    Args:
        reason: Which limit, in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

"""petition serve --sign: the form, the mail, the link, and what it cannot be used for."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from petition.outbox import signatures
from petition.outbox.log import Log
from petition.outbox.signatures import Review, SignatureRecord, SignatureStep
from petition.web.sign_pages import WORDS
from tests.acceptance.crew import wait_until
from tests.acceptance.small import SmallCampaign
from tests.servers.endpoint import give_token, running_endpoint
from tests.servers.signatory import (
    ANN,
    AT_ONCE,
    Page,
    ask,
    link_for,
    mails,
    sign,
    signing_campaign,
    wait_for_mails,
)

EN = WORDS["en"]
FEW = """
from petition.web import limits
limits.FormLimits.__init__.__defaults__ = ({}, {}, limits.time.monotonic)
"""


class Stand:
    """A campaign whose letter people sign, and the server where they do."""

    def __init__(self, campaign: SmallCampaign, base: str, said: list[str]) -> None:
        self.campaign = campaign
        self.base = base
        self.said = said

    def signatures(self) -> list[SignatureRecord]:
        with Log(f"sqlite:///{self.campaign.root}/rehearsal.db") as log:
            return list(signatures.signatures(log))

    def one(self, address: str) -> SignatureRecord:
        [found] = [one for one in self.signatures() if one.mailbox == address]
        return found

    def review(self, address: str, decision: Review) -> None:
        with Log(f"sqlite:///{self.campaign.root}/rehearsal.db") as log, log.writing():
            signatures.review(log, self.one(address).id, decision, "ann")

    def confirm(self, address: str = ANN["email"], **changed: str) -> Page:
        link = link_for(self.campaign, self.base, address)
        return ask(link, ask(link).form.fields | changed)


@pytest.fixture
def stand(tmp_path: Path):
    campaign = signing_campaign(tmp_path)
    with running_endpoint(campaign, "--sign", before=AT_ONCE) as (base, said):
        yield Stand(campaign, base, said)


def test_only_the_button_behind_the_mail_signs(stand):
    page = ask(f"{stand.base}/sign")
    assert page.status == 200
    assert {"name", "email", "publish", "updates", "kind"} <= set(page.form.names)
    assert not {"publish", "updates", "kind"} & set(page.form.fields)  # nothing is ticked
    answer = sign(stand.base)
    assert answer.status == 200
    assert EN["sent"]["heading"] in answer.text
    link = link_for(stand.campaign, stand.base)
    for _ in range(3):
        page = ask(link)
        assert page.status == 200
        assert "Nurse" in page.text
        assert "ann@mail.example" in page.words
    assert stand.one("ann@mail.example").confirmed_at is None
    done = ask(link, page.form.fields | {"role": "Ward nurse"})
    assert EN["yours"]["done"] in done.text
    signature = stand.one("ann@mail.example")
    assert signature.confirmed_at
    assert signature.entry.role == "Ward nurse"
    assert not signature.counts  # a person has not looked at it
    again = ask(link, page.form.fields)
    assert EN["yours"]["done"] not in again.text
    with Log(f"sqlite:///{stand.campaign.root}/rehearsal.db") as log:
        steps = signatures.events(log, signature.id)
    assert [one.what for one in steps] == [
        SignatureStep.SIGNED, SignatureStep.CHANGED, SignatureStep.CONFIRMED,
    ]  # fmt: skip
    assert "Show my name" in steps[0].wording.text


def test_who_agreed_is_named_once_a_person_has_approved(stand):
    sign(stand.base)
    sign(stand.base, ANN | {"name": "Bea <b>Quiet", "email": "bea@mail.example", "publish": ""})
    for address in ("ann@mail.example", "bea@mail.example"):
        stand.confirm(address)
    before = ask(f"{stand.base}/sign")
    assert "2 signatures" in before.words  # those of the file
    for address in ("ann@mail.example", "bea@mail.example"):
        stand.review(address, Review.APPROVED)
    ask(f"{stand.base}/sign")  # it is made anew for those who ask next

    def shown() -> str:
        return ask(f"{stand.base}/sign").words

    # Ann Reed of the file is the same person: she is counted once.
    wait_until(lambda: "3 signatures" in shown())
    assert "Ann Reed" in shown()
    assert "Quiet" not in shown()
    stand.review("ann@mail.example", Review.HIDDEN)
    page = ask(link_for(stand.campaign, stand.base))
    assert "does not count" in page.words


def test_the_answer_is_the_same_whoever_has_signed(stand):
    stand.campaign.petition("suppress", "never@mail.example", status=0)
    sign(stand.base, ANN | {"email": "signed@mail.example"})
    stand.confirm("signed@mail.example")
    answers = set()
    for address in ("new@mail.example", "signed@mail.example", "never@mail.example",
                    "new@mail.example", "answers@campaign.example"):  # fmt: skip
        page = sign(stand.base, ANN | {"email": address})
        answers.add((page.status, page.text.replace(f"<bdi>{address}<", "<bdi>ADDRESS<")))
    assert len(answers) == 1
    wait_for_mails(stand.campaign, 2)
    # An address gets one mail a day; one that must not be written to gets none.
    assert sorted(str(one["To"]) for one in mails(stand.campaign)) == [
        "new@mail.example", "signed@mail.example",
    ]  # fmt: skip


def test_faults_stand_beside_their_fields_and_what_was_typed_is_kept(stand):
    typed = ANN | {"name": "", "email": "ann at home", "place": "see https://evil.example"}
    page = sign(stand.base, typed | {"role": '"><script>alert(1)</script>'})
    assert page.status == 422
    assert page.fault("name")
    assert page.fault("email")
    assert page.fault("place")
    assert not page.fault("role")
    assert page.form.fields["email"] == "ann at home"
    assert page.form.fields["role"] == '"><script>alert(1)</script>'
    assert page.form.fields["publish"] == "yes"
    assert page.form.fields["country"] == "GB"
    assert "<script" not in page.text
    assert stand.signatures() == []
    mended = ask(f"{stand.base}/sign", page.form.fields | ANN)
    assert EN["sent"]["heading"] in mended.text


def test_who_has_signed_changes_it_and_withdraws(stand):
    sign(stand.base)
    link = link_for(stand.campaign, stand.base)
    stand.confirm()
    page = ask(link)
    wrong = ask(link, page.form.fields | {"do": "change", "name": ""})
    assert wrong.status == 422
    assert wrong.fault("name")
    changed = ask(link, page.form.fields | {"do": "change", "name": "Ann Reed-Poe", "role": ""})
    assert EN["yours"]["changed"] in changed.text
    assert changed.form.fields["name"] == "Ann Reed-Poe"
    assert EN["gone"]["nowhere"] in changed.text
    gone = ask(link, {"do": "withdraw"})
    assert EN["withdrawn"]["heading"] in gone.text
    assert ask(link).text == gone.text
    assert "Ann" not in gone.text
    assert stand.one("ann@mail.example").entry.name == ""
    # Old pages in other windows change nothing.
    assert ask(link, page.form.fields | {"do": "confirm"}).text == gone.text


def test_withdrawing_says_where_the_name_has_gone(stand):
    # The file has the name as well, so that the letter goes out with it.
    stand.campaign.petition("send", "open-letter", status=0)
    sign(stand.base)
    link = link_for(stand.campaign, stand.base)
    stand.confirm()
    assert "in 3 copies of the letter" in ask(link).words
    assert "in 3 copies of the letter" in ask(link, {"do": "withdraw"}).words


@pytest.mark.parametrize("token", ["0" * 32, "abc", "", "x" * 3_000, "%00", "0" * 32 + "/x"])
def test_an_unknown_link_is_a_404(stand, token):
    for body in (None, {"do": "confirm"} | ANN):
        page = ask(f"{stand.base}/sign/{token}", body)
        assert page.status == 404
        assert "answers@campaign.example" in page.text


def test_a_link_of_a_letter_signs_nothing_and_a_signature_unsubscribes_nobody(stand):
    stand.campaign.petition("send", "open-letter", status=0)
    token = give_token(stand.campaign.root, "p1@x.example")
    assert ask(f"{stand.base}/sign/{token}").status == 404
    sign(stand.base)
    token = link_for(stand.campaign, stand.base).rpartition("/")[2]
    assert ask(f"{stand.base}/u/{token}").status == 404


def test_what_a_program_sends_is_shown_again_to_people(stand):
    form = ask(f"{stand.base}/sign").form.fields
    trapped = ask(f"{stand.base}/sign", form | ANN | {"comment": "buy"})
    assert EN["faults"]["trapped"] in trapped.text
    for stamp in ("", "0.0", form["stamp"][:-1] + "x", "1000000000." + form["stamp"][11:]):
        stale = ask(f"{stand.base}/sign", form | ANN | {"stamp": stamp})
        assert (stale.status, EN["faults"]["stale"] in stale.text) == (422, True)
    assert stand.signatures() == []
    # What the page has now is good.
    assert ask(f"{stand.base}/sign", trapped.form.fields).status == 200
    assert len(stand.signatures()) == 1


def test_nobody_fills_in_the_form_at_once(tmp_path):
    campaign = signing_campaign(tmp_path)
    with running_endpoint(campaign, "--sign") as (base, _):
        early = sign(base)
        assert EN["faults"]["early"] in early.text
        assert early.form.fields["name"] == "Ann Reed"


def test_a_network_that_sends_too_many_is_told_when_to_go_on(tmp_path):
    campaign = signing_campaign(tmp_path)
    few = AT_ONCE + FEW.format("limits.Allowance(2, 1)", "limits.Allowance(4, 1)")
    with running_endpoint(campaign, "--sign", "--proxy", "127.0.0.1", before=few) as (base, said):

        def from_(address: str, number: int) -> Page:
            cells = ANN | {"email": f"a{number}@mail.example"}
            return sign(base, cells, X_Forwarded_For=address)

        assert [from_("192.0.2.1", one).status for one in range(3)] == [200, 200, 429]
        busy = from_("192.0.2.250", 3)
        assert int(busy.headers["Retry-After"]) > 0
        assert busy.form.fields["name"] == "Ann Reed"
        # A stranger's own header stands before what the web server says.
        assert from_("203.0.113.9, 192.0.2.7", 4).status == 429
        assert [from_(f"198.51.{one}.1", 10 + one).status for one in range(3)] == [200, 200, 429]
    assert not re.search(r"192\.0|198\.51|203\.0", "".join(said))


def test_nobody_is_believed_who_was_not_named(tmp_path):
    campaign = signing_campaign(tmp_path)
    few = AT_ONCE + FEW.format("limits.Allowance(2, 1)", "limits.FOR_ALL")
    with running_endpoint(campaign, "--sign", before=few) as (base, said):
        pages = [sign(base, X_Forwarded_For=f"192.0.{one}.1").status for one in range(3)]
        assert pages == [200, 200, 429]
    assert "--proxy 127.0.0.1" in "".join(said)


def test_a_page_of_somebody_else_cannot_send_the_form(stand):
    assert sign(stand.base, Sec_Fetch_Site="cross-site").status == 400
    assert sign(stand.base, Content_Type="text/plain").status == 400
    assert stand.signatures() == []


def test_a_body_that_is_too_large_is_not_read_to_its_end(stand):
    page = sign(stand.base, ANN | {"name": "x" * 1_000_000})
    assert page.status == 413
    assert EN["large"]["heading"] in page.text


def test_the_pages_load_nothing_and_run_nothing(stand):
    sign(stand.base)
    link = link_for(stand.campaign, stand.base)
    for page in (ask(f"{stand.base}/sign"), ask(link), ask(f"{stand.base}/sign/0")):
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Set-Cookie"] is None
        assert not re.search(r"<script|<img|https?://|url\(| style=", page.text)
        assert "nobody receives anything" in page.text  # it is a rehearsal


@pytest.mark.slow
@pytest.mark.parametrize("language", WORDS)
def test_the_form_and_the_mail_speak_the_readers_language(stand, language):
    page = sign(stand.base, Accept_Language=language)
    words = WORDS[language]
    assert page.headers["Content-Language"] == language
    assert words["sent"]["heading"] in page.text
    link = link_for(stand.campaign, stand.base)
    assert words["ask"]["heading"] in ask(link).text  # whatever the browser says
    assert words["unknown"]["heading"] in ask(f"{link}0", Accept_Language=language).text
    assert EN["ask"]["heading"] in ask(f"{link}?language=en", Accept_Language=language).text


def test_a_locked_log_takes_no_signature_and_says_so(stand):
    sign(stand.base)
    link = link_for(stand.campaign, stand.base)
    page = ask(link)
    with closing(sqlite3.connect(stand.campaign.root / "rehearsal.db")) as log:
        log.execute("BEGIN EXCLUSIVE")
        later = sign(stand.base, ANN | {"email": "bob@mail.example"})
        assert later.status == 503
        assert later.headers["Retry-After"]
        assert later.form.fields["name"] == "Ann Reed"
        assert EN["faults"]["later"] in later.text
        assert ask(link, page.form.fields).status == 503
        log.rollback()
    wait_until(lambda: ask(link).status == 200)
    assert [one.mailbox for one in stand.signatures()] == ["ann@mail.example"]
    assert stand.one("ann@mail.example").confirmed_at is None
    assert EN["sent"]["heading"] in ask(f"{stand.base}/sign", later.form.fields).text


def test_its_output_identifies_nobody(stand):
    sign(stand.base, User_Agent="Spy/1.0")
    link = link_for(stand.campaign, stand.base)
    stand.confirm()
    ask(link, {"do": "withdraw"})
    ask(f"{stand.base}/sign/0123456789")
    text = "".join(stand.said)
    assert "POST 200: the form" in text
    assert "mail confirm" in text
    for secret in ("Ann", "Reed", "mail.example", "Spy", "0123456789", link.rpartition("/")[2]):
        assert secret not in text


def test_nothing_begins_without_a_page_or_with_an_address_for_examples(tmp_path):
    campaign = SmallCampaign.at(tmp_path)
    assert "[sign]" in campaign.petition("serve", "--sign", status=2).err
    campaign = signing_campaign(tmp_path)
    campaign.env |= {"PETITION_SMTP_HOST": "mail.campaign.example"}
    assert "reserved" in campaign.petition("serve", "--sign", status=2).err


def test_the_site_lies_beside_the_form_and_says_what_is_new(tmp_path):
    campaign = signing_campaign(tmp_path)
    options = ("--sign", "--site", "--root-path", "/water")
    with running_endpoint(campaign, *options, before=AT_ONCE) as (base, _):
        early = ask(f"{base}/")
        assert (early.status, early.headers["Location"]) == (302, "sign")
    campaign.petition("send", "open-letter", status=0)
    with running_endpoint(campaign, *options, before=AT_ONCE) as (base, _):
        front = ask(f"{base}/")
        assert front.status == 200
        published = campaign.root / "site"
        campaign.petition("publish", "site", "--rehearsal", status=0)
        for path in published.rglob("*.*"):
            name = path.relative_to(published).as_posix()
            if not name.startswith("."):
                there = ask(f"{base}/{name}")
                assert there.status == 200, name
                known = ask(f"{base}/{name}", If_None_Match=there.headers["ETag"])
                assert (known.status, known.text) == (304, "")
        assert ask(f"{base}/{name}", {}).status == 405
        assert ask(f"{base}/.petition-site.json").status == 404
        assert ask(f"{base}/../petition.toml").status == 404
        campaign.petition("answer", "p1@x.example", "met", "--quote", "Yes.", status=0)
        wait_until(lambda: ask(f"{base}/").headers["ETag"] != front.headers["ETag"])
        assert sign(base).status == 200
        assert ask(f"{base}/u/0").status == 404

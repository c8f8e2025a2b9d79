"""Exports of the forms in which people sign, as signatories."""

from datetime import date

import pytest

from petition.campaign.signatories import read_signatories
from petition.errors import Level, Problem

# As each program writes its CSV file, cut to a person or two.
GOOGLE = """\
"Timestamp","Your name","Email Address","Your town","May we show your name?"
"2026/11/30 2:15:04 PM GMT+1","Ann Reed","ann@host.example","Leeds","Yes"
"2026/12/01 9:00:00 AM GMT+1","Tom Bell","tom@host.example","Hull","No"
"""
GOOGLE_RU = """\
Отметка времени,ФИО,Адрес электронной почты,Город,Страна
30.11.2026 14:15:04,Айгүл Жұмабек,a@host.example,Қарағанды,Қазақстан
"""
GOOGLE_DE = """\
Zeitstempel,Vor- und Nachname,E-Mail-Adresse,Wohnort,Funktion
30.11.2026 14:15:04,Jörg Weiß,j@host.example,Köln,Betriebsrätin
"""
MICROSOFT = """\
ID,Start time,Completion time,Email,Name,Your full name,Your email address,Publish my name
1,11/30/26 14:10:00,11/30/26 14:15:04,anonymous,,Ann Reed,ann@host.example,Yes
2,12/1/26 9:00:00,12/1/26 9:02:11,anonymous,,Tom Bell,tom@host.example,
"""
LIMESURVEY = """\
"id","submitdate","lastpage","startlanguage","Prénom","Nom de famille","Adresse e-mail","Ville"
"1","2026-11-30 14:15:04","1","fr","Zoé","Martin","z@host.example","Lyon"
"""
FRAMAFORMS = """\
"Serial";"SID";"Submitted Time";"Completed Time";"Nom et prénom";"Courriel";"Commune"
"1";"10";"2026-11-30 14:15:04";"2026-11-30 14:15:04";"Zoé Martin";"z@host.example";"Lyon"
"""
NEXTCLOUD = """\
"User ID","User display name","Timestamp","Imię i nazwisko","Adres e-mail","Miejscowość"
"","Anonymous user","2026-11-30T14:15:04+01:00","Jan Nowak","j@host.example","Łódź"
"""
ACTION_NETWORK = """\
first_name,last_name,email,zip_code,can2_user_city,can2_created_date
Ann,Reed,ann@host.example,LS1 4AP,Leeds,2026-11-30T14:15:04Z
"""


def read(folder, content: str, problems: list[Problem], *agreed: str):
    folder.write("s.csv", content)
    return read_signatories(folder.root, "s.csv", problems, agreed=agreed)


@pytest.mark.parametrize(
    ("content", "name", "email"),
    [
        (GOOGLE, "Ann Reed", "ann@host.example"),
        (GOOGLE_RU, "Айгүл Жұмабек", "a@host.example"),
        (GOOGLE_DE, "Jörg Weiß", "j@host.example"),
        (MICROSOFT, "Ann Reed", "ann@host.example"),
        (LIMESURVEY, "Zoé Martin", "z@host.example"),
        (FRAMAFORMS, "Zoé Martin", "z@host.example"),
        (NEXTCLOUD, "Jan Nowak", "j@host.example"),
        (ACTION_NETWORK, "Ann Reed", "ann@host.example"),
    ],
    ids=[
        "google",
        "russian",
        "german",
        "microsoft",
        "limesurvey",
        "framaforms",
        "nextcloud",
        "action-network",
    ],
)
def test_an_export_is_read_by_its_headings_which_are_told(
    folder, problems, content: str, name: str, email: str
):
    first = read(folder, content, problems)[0]
    assert (first.name, first.email, first.signed_on) == (name, email, date(2026, 11, 30))
    (told,) = [one for one in problems if "columns are read by their headings" in one.what]
    assert told.level is Level.NOTE
    assert not any(one.is_error for one in problems)


def test_answers_in_a_form_s_own_words_are_no_yes_until_somebody_says_so(folder, problems):
    content = "name,publish\nAnn,Show my name\nTom,\nKim,yes\n"
    (kim,) = [one for one in read(folder, content, problems) if one.name == "Kim"]
    assert kim.publish
    assert [(one.line, one.is_error) for one in problems] == [(2, True)]
    problems.clear()
    found = read(folder, content, problems, "show my  NAME")
    assert [(one.name, one.publish) for one in found] == [
        ("Ann", True), ("Tom", False), ("Kim", True),
    ]  # fmt: skip
    assert not problems


@pytest.mark.parametrize(
    ("days", "first"),
    [
        (("3/4/2026", "13/4/2026"), date(2026, 4, 3)),
        (("3/4/2026", "4/13/2026"), date(2026, 3, 4)),
        (("3/4/2026 10:00", "13/04/26 11:00"), date(2026, 4, 3)),
        (("3.4.2026", "4.5.2026"), date(2026, 4, 3)),
    ],
)
def test_other_rows_tell_whether_days_or_months_come_first(folder, problems, days, first):
    rows = "".join(f"P{at},{day}\n" for at, day in enumerate(days))
    assert read(folder, f"name,signed_on\n{rows}", problems)[0].signed_on == first
    assert not problems


@pytest.mark.parametrize(
    "days", [("3/4/2026", "4/5/2026"), ("13/4/2026", "4/13/2026"), ("31.2.2026",), ("soon",)]
)
def test_a_day_that_could_be_another_is_an_error(folder, problems, days):
    rows = "".join(f"P{at},{day}\n" for at, day in enumerate(days))
    read(folder, f"name,signed_on\n{rows}", problems)
    assert problems
    assert all(one.is_error and "signed_on" in one.what for one in problems)


def test_our_own_columns_come_first(folder, problems):
    found = read(folder, "name,full name\nAnn,Somebody Else\n", problems)
    assert [one.name for one in found] == ["Ann"]
    assert not problems


def test_a_fault_shows_the_cell_that_it_is_in(folder, problems):
    read(folder, "Town,Your name,Email Address\nHull,Ann,nobody\n", problems)
    (fault,) = [one for one in problems if one.is_error]
    assert (fault.line, fault.mark) == (2, 2)

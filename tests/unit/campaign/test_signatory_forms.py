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


def test_two_questions_that_may_be_consent_are_not_chosen_between(folder, problems):
    content = "Your name,Show my name,Publish my name\nAnn,Yes,No\nTom,No,Yes\n"
    read(folder, content, problems)
    assert [(one.line, one.is_error) for one in problems if one.is_error] == [(1, True)]
    problems.clear()
    own = content.replace("Publish my name", "publish")
    assert [one.publish for one in read(folder, own, problems)] == [False, True]
    assert not any(one.is_error for one in problems)


def test_an_empty_column_of_ours_is_no_consent(folder, problems):
    (ann,) = read(folder, "name,publish,Show my name\nAnn,,Yes\n", problems)
    assert not ann.publish


@pytest.mark.parametrize("stamp", ["submitdate", "Date submitted", "Completed Time"])
def test_a_form_that_was_not_sent_in_is_no_signature(folder, problems, stamp: str):
    content = f"{stamp},Your name,Show my name\n2026-11-30 14:15:04,Ann,Yes\n,Tom,Yes\n"
    assert [one.name for one in read(folder, content, problems)] == ["Ann"]
    assert [(one.line, one.mark) for one in problems if one.is_error] == [(3, 0)]


def test_a_time_stamp_of_a_form_that_cannot_be_read_stops_nothing(folder, problems):
    content = "Timestamp,Your name\n3/4/2026 10:00:00,Ann\n30 қар. 2026,Tom\n"
    found = read(folder, content, problems)
    assert [(one.name, one.signed_on) for one in found] == [("Ann", None), ("Tom", None)]
    assert [one.level for one in problems if one.line in {2, 3}] == [Level.WARNING] * 2


@pytest.mark.parametrize(
    ("content", "warned"),
    [
        ("Vorname,Name\nJörg,Weiß\n", True),
        ("Name,Surname\nAnn,Reed\n", True),
        ("name,last_name\nAnn Reed,Reed\n", False),
        ("name,first_name,last_name\nREED Ann,Ann,Reed\n", False),
        ("name,last_name\nReading Room,\n", False),
    ],
)
def test_half_a_name_is_warned_of(folder, problems, content: str, warned: bool):
    read(folder, content, problems)
    assert [one.line for one in problems if one.level is Level.WARNING] == [2] * warned


def test_a_surname_and_a_first_name_make_a_french_name(folder, problems):
    (zoe,) = read(folder, "Nom,Prénom\nMartin,Zoé\n", problems)
    assert (zoe.name, zoe.last_name) == ("Zoé Martin", "Martin")


def test_who_was_logged_in_at_microsoft_forms_has_the_name_of_the_answer(folder, problems):
    known = '3,11/30/26 9:00:00,11/30/26 9:02:11,kim@corp.example,"Kim, Jo",Jo Kim,,Yes\n'
    found = read(folder, MICROSOFT + known, problems)
    assert [one.name for one in found] == ["Ann Reed", "Tom Bell", "Jo Kim"]
    assert not any(one.is_error for one in problems)


def test_microsoft_forms_without_a_question_for_the_address(folder, problems):
    content = "Completion time,Email,Name,Your full name\n11/30/26 14:15:04,anonymous,,Ann Reed\n"
    (ann,) = read(folder, content, problems)
    assert (ann.name, ann.email) == ("Ann Reed", "")


def test_our_own_columns_come_first(folder, problems):
    found = read(folder, "name,full name\nAnn,Somebody Else\n", problems)
    assert [one.name for one in found] == ["Ann"]
    assert not problems


def test_a_fault_shows_the_cell_that_it_is_in(folder, problems):
    read(folder, "Town,Your name,Email Address\nHull,Ann,nobody\n", problems)
    (fault,) = [one for one in problems if one.is_error]
    assert (fault.line, fault.mark) == (2, 2)

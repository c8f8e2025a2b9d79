"""Words that a salutation is made of beside a name: forms of address, and offices."""

from collections.abc import Sequence

from petition.campaign.names import folded_name

# Only where one of these stands does a salutation say that a name follows.
_ADDRESSING = """
    mr mrs ms miss mx dr prof professor sir dame lord lady rev reverend councillor cllr
    herr herrn frau
    monsieur madame mademoiselle mme mlle m
    señor señora señorita sr sra srta don doña estimado estimada
    dear
    господин госпожа доктор профессор уважаемый уважаемая дорогой дорогая
    мырза ханым құрметті
"""

# What stands where a name would, and is none: people are greeted by their office, or together.
_OFFICES = """
    or and the of for madam sir madame colleague colleagues friend friends comrade comrades all
    member members team office board council committee director directors chair chairman chairwoman
    chairperson president mayor mayoress minister secretary chancellor speaker justice judge
    ambassador consul commissioner chief rector dean bishop archbishop cardinal pastor father sister
    vicar rabbi imam general colonel major captain admiral sheriff editor editors resident residents
    supporter supporters neighbour neighbours ladies gentlemen excellency honourable honorable
    deputy vice prime premier first mp msp ms mep senator congressman congresswoman representative
    delegate governor governors officer manager treasurer clerk convener warden principal head
    headteacher provost registrar superintendent inspector trustee trustees ombudsman attorney
    alderman your

    maire préfet préfète ministre président présidente directeur directrice député députée sénateur
    sénatrice ambassadeur ambassadrice conseiller conseillère recteur rectrice gouverneur juge
    procureur procureure chancelier chancelière évêque archevêque secrétaire général générale
    professeur professeure docteur maître consul commissaire chef rédacteur rédactrice adjoint
    adjointe premier première excellence mesdames messieurs collègue collègues ami amis amie amies

    alcalde alcaldesa ministro ministra presidente presidenta director directora diputado diputada
    senador senadora embajador embajadora secretario secretaria gobernador gobernadora rectora juez
    jueza fiscal consejero consejera concejal concejala excelentísimo excelentísima ilustrísimo
    ilustrísima excelencia profesor profesora doctor doctora cónsul obispo comisario comisaria
    primer primera señores señoras amigos amigas compañeros compañeras

    sehr geehrte geehrter geehrtes liebe lieber liebes cher chère chers chères très
    damen herren kolleginnen kollegen freunde freundinnen abgeordneter abgeordnete vorsitzender
    vorsitzende professorin doktor exzellenz magnifizenz staatsanwalt staatsanwältin richter
    richterin pfarrer pfarrerin bischof bischöfin konsul konsulin intendant intendantin landrat
    landrätin stadtrat stadträtin gemeinderat gemeinderätin ministerialrat geheimrat dekan dekanin
    rektor rektorin

    дамы господа коллега коллеги друг друзья товарищ товарищи директор депутат министр председатель
    посол ректор редактор мэр губернатор президент премьер сенатор прокурор глава судья начальник
    секретарь уполномоченный уполномоченная омбудсмен аким консул руководитель заместитель
    генеральный генерал полковник декан заведующий заведующая епископ

    ханымдар мырзалар әріптес әріптестер достар әкім төраға төрайым төрағасы директоры елші хатшы
    басшы басшысы сот депутаты министрі президенті кеңесші бастық бастығы прокуроры
"""
# The ends of the many offices that German makes of one word: Oberbürgermeisterin.
_GERMAN_ENDS = """
    meister minister präsident direktor kanzler leiter sprecher botschafter sekretär beauftragter
    beauftragte vorsteher führer
"""

FORMS_OF_ADDRESS = frozenset(map(folded_name, _ADDRESSING.split()))
_NO_NAMES = FORMS_OF_ADDRESS | frozenset(map(folded_name, _OFFICES.split()))
_OFFICE_WORDS = _NO_NAMES - FORMS_OF_ADDRESS
_OF = frozenset({"of", "for", "de", "du", "des", "del", "von", "vom", "der", "fur"})
_ENDS = tuple(folded_name(end + more) for end in _GERMAN_ENDS.split() for more in ("", "in"))


def named_in(words: Sequence[str]) -> list[str]:
    """The words of a salutation that are somebody's name, folded.

    What follows an office is none either: "Monsieur le Maire de Lyon".

    Args:
        words: All its words, as they are written.
    """
    names, has_office = [], False
    for word in words:
        folded = folded_name(word)
        if has_office and folded in _OF:
            break
        has_office = has_office or _is_office(folded)
        if word[:1].isupper() and folded and folded not in FORMS_OF_ADDRESS:
            names += [] if _is_office(folded) else [folded]
    return names


def _is_office(folded: str) -> bool:
    return folded in _OFFICE_WORDS or folded.endswith(_ENDS)

"""Numbers that prove themselves: resident ids, payment cards and IBANs by their check digits, and addresses by their form.

GB 11643-1999 (resident id, ISO 7064 MOD 11-2), ISO/IEC 7812 (cards, Luhn), ISO 13616 (IBAN, MOD 97-10).
"""

import ipaddress
import re
from datetime import date

_IBAN_LENGTHS = """
15NO 16BE 18DK 18FI 18FO 18GL 18NL 18SD 19MK 19SI 20AT 20BA 20EE 20KZ 20LT 20LU 20MN 20XK 21CH 21HR 21LI 21LV 22BG 22BH
22CR 22DE 22GB 22GE 22IE 22ME 22RS 22VA 23AE 23GI 23IL 23IQ 23OM 23SO 23TL 24AD 24CZ 24ES 24MD 24PK 24RO 24SA 24SE
24SK 24TN 24VG 25LY 25PT 25ST 26IS 26TR 27BI 27DJ 27FR 27GR 27IT 27MC 27MR 27SM 28AL 28AZ 28BY 28CY 28DO 28GT 28HN 28HU
28LB 28NI 28PL 28SV 29BR 29EG 29PS 29QA 29UA 30JO 30KW 30MU 30YE 31MT 31SC 32LC 33RU
"""
IBAN_LENGTHS = {entry[2:]: int(entry[:2]) for entry in _IBAN_LENGTHS.split()}
"""Characters of an IBAN by country, as in the SWIFT registry."""

_SCHEMES = re.compile(
    rb"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    rb"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    rb"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"  # American Express, Diners
    rb"|35\d{14}|(?:1800|2131)\d{11}"  # JCB
    rb"|(?:6011|64[4-9]\d|65\d\d)\d{12}|62\d{14,17}"  # Discover, UnionPay
)
"""First digits and lengths of the card schemes."""


def is_resident_id(raw: bytes) -> bool:
    """Whether 18 characters are a Chinese resident id: a day of birth that exists, and the right last character."""
    try:
        date(int(raw[6:10]), int(raw[10:12]), int(raw[12:14]))
    except ValueError:
        return False
    total = sum(int(digit) * (1 << (17 - place)) for place, digit in enumerate(raw[:17].decode()))
    return b"10X98765432"[total % 11 : total % 11 + 1] == raw[17:].upper()


def has_luhn_digit(raw: bytes) -> bool:
    """Whether the digits of `raw` are 12 to 19 that satisfy Luhn's checksum."""
    digits = [byte - 48 for byte in raw if 48 <= byte <= 57]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 12 <= len(digits) <= 19 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_card(raw: bytes) -> bool:
    """Whether `raw` has the first digits and the length of a card scheme, and the right check digit."""
    return _SCHEMES.fullmatch(raw.translate(None, b" -")) is not None and has_luhn_digit(raw)


def is_iban(raw: bytes) -> bool:
    """Whether an IBAN has the length of its country and the right check digits."""
    packed = raw.replace(b" ", b"").upper()
    if IBAN_LENGTHS.get(packed[:2].decode("latin-1")) != len(packed) or not packed.isalnum():
        return False
    return int("".join(str(int(chr(byte), 36)) for byte in packed[4:] + packed[:4])) % 97 == 1


def is_address(raw: bytes) -> bool:
    """Whether `raw` is an IPv4 address of four numbers up to 255 without leading zeros, or an IPv6 address."""
    try:
        ipaddress.ip_address(raw.decode())
    except ValueError:
        return False
    return True

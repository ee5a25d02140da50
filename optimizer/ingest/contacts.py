"""Normalises contacts and hashes them on arrival, because one stored hash cannot serve every platform.

Google folds Gmail addresses and wants the plus sign of phone numbers; Meta wants neither. So four SHA-256 hashes are
made while the raw contact is at hand, and each platform gets the one it asks for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import phonenumbers
from email_validator import EmailNotValidError, validate_email

GMAIL_DOMAINS = frozenset({"gmail.com", "googlemail.com"})


@dataclass(frozen=True, slots=True)
class ContactHashes:
    """Lower-case hexadecimal SHA-256 hashes; None where there is no valid contact.

    Attributes:
        email_sha256: Of the address, trimmed and lower-cased.
        email_google_sha256: The same, but for Gmail without dots and +suffix (Google's rule).
        phone_e164_sha256: Of the number with its plus sign, as in +493012345678.
        phone_digits_sha256: Of the digits alone, as in 493012345678.
    """

    email_sha256: str | None = None
    email_google_sha256: str | None = None
    phone_e164_sha256: str | None = None
    phone_digits_sha256: str | None = None


def hash_contacts(email: str | None, phone: str | None, default_region: str | None = None) -> ContactHashes:
    """Hash an e-mail address and a phone number in every form a platform asks for.

    Args:
        email: As it was sent; None or not an address gives no hash.
        phone: As it was sent; a number without country code needs `default_region`.
        default_region: ISO 3166 country for national numbers, for example ``DE``.
    """
    address = normal_email(email) if email else None
    number = normal_phone(phone, default_region) if phone else None
    return ContactHashes(
        email_sha256=_sha256(address) if address else None,
        email_google_sha256=_sha256(google_email(address)) if address else None,
        phone_e164_sha256=_sha256(number) if number else None,
        phone_digits_sha256=_sha256(number.removeprefix("+")) if number else None,
    )


def normal_email(email: str) -> str | None:
    """Trim and lower-case an address; None when it is not one (syntax only, no DNS)."""
    lowered = email.strip().lower()
    try:
        validate_email(lowered, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    return lowered


def google_email(address: str) -> str:
    """Apply Google's rule to a normal address: for Gmail drop dots and +suffix, keep the domain."""
    local, _, domain = address.rpartition("@")
    if domain in GMAIL_DOMAINS:
        local = local.partition("+")[0].replace(".", "")
    return f"{local}@{domain}"


def normal_phone(phone: str, default_region: str | None = None) -> str | None:
    """Return a number in E.164 form with its plus sign; None when it cannot be one."""
    try:
        parsed = phonenumbers.parse(phone, default_region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Encryption at rest for credentials and personal data, and the proof that the key is still the same one.

One secret key protects the installation. The control plane stores a check value made with it, so that a process
that was started with another key stops at once instead of writing rows that the others cannot read.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlmodel import Session

from optimizer.errors import ConfigurationError
from optimizer.storage.control import ControlStore
from optimizer.storage.tables import InstanceFact

CHECK_NAME = "secret_key_check"
CHECK_TEXT = b"optimizer"
MINIMUM_KEY_LENGTH = 16


class Cipher:
    """Authenticated encryption (Fernet: AES-128-CBC with HMAC-SHA-256) under a key derived from the secret.

    Args:
        secret: The installation's secret key, 16 characters or more.
    """

    def __init__(self, secret: str) -> None:
        if len(secret) < MINIMUM_KEY_LENGTH:
            raise ConfigurationError(f"secret_key must have at least {MINIMUM_KEY_LENGTH} characters.")
        derived = HKDF(hashes.SHA256(), length=32, salt=None, info=b"optimizer at rest").derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def __repr__(self) -> str:
        return "Cipher(…)"

    def encrypt(self, plain: bytes) -> bytes:
        """Encrypt and authenticate."""
        return self._fernet.encrypt(plain)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Decrypt.

        Raises:
            ConfigurationError: The text was made with another key, or was changed.
        """
        try:
            return self._fernet.decrypt(ciphertext)
        except InvalidToken:
            raise ConfigurationError("Stored data was encrypted with another secret key.") from None


def secret_from_data_dir(data_dir: Path) -> tuple[str, bool]:
    """Read the generated key, or make it with mode 600.

    Returns:
        The secret, and whether it was made just now.
    """
    path = data_dir / "secret.key"
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip(), False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        secret = secrets.token_urlsafe(32)
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    return secret, True


def prove_key(control: ControlStore, cipher: Cipher) -> None:
    """Compare the key with the stored check value, or store one the first time.

    Raises:
        ConfigurationError: This installation was set up with another secret key.
    """
    with control.session() as session:
        fact = session.get(InstanceFact, CHECK_NAME)
        if fact is None:
            _store_check(session, cipher)
            return
    try:
        proven = cipher.decrypt(fact.value.encode()) == CHECK_TEXT
    except ConfigurationError:
        proven = False
    if not proven:
        raise ConfigurationError(
            "The secret key is not the one this installation was set up with. "
            "Set OPTIMIZER_SECRET_KEY to that one; nothing was changed."
        )


def _store_check(session: Session, cipher: Cipher) -> None:
    session.add(InstanceFact(name=CHECK_NAME, value=cipher.encrypt(CHECK_TEXT).decode()))

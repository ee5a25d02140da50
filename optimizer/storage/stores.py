"""The two stores and the cipher together: what every capability's service is handed."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.storage.cipher import Cipher
from optimizer.storage.control import ControlStore
from optimizer.storage.events import EventStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Where everything is kept.

    Attributes:
        control: Projects, keys, catalog, experiments, rules, deliveries, segments.
        events: Events, exposures, counts.
        cipher: Encrypts what the control plane keeps of credentials and persons.
    """

    control: ControlStore
    events: EventStore
    cipher: Cipher

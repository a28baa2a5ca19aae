# SPDX-License-Identifier: Apache-2.0
"""Keys for digests of people's records in plaintext: each from the person's slot, so that it ends with the person."""

import time
from collections.abc import Callable

from lifeseal.erasure._batches import places_of
from lifeseal.erasure._sealed import LEAF_KEY, derive, new_room
from lifeseal.erasure._session import Session
from lifeseal.erasure._work import checked

MAX_KEY_AGE = 10.0
_MAX_KEYS = 1 << 16


def leaf_keys(session: Session, subject_of: Callable[[bytes], str]) -> Callable[[bytes], bytes]:
    """See `lifeseal.erasure.Subjects.leaf_keys`."""
    known: dict[str, bytes] = {}
    asked = -MAX_KEY_AGE

    def key_of(record: bytes) -> bytes:
        nonlocal asked
        if time.monotonic() - asked >= MAX_KEY_AGE or len(known) >= _MAX_KEYS:
            known.clear()
            asked = time.monotonic()
        (person,) = checked([subject_of(record)])
        if person not in known:
            known[person] = _leaf_key(session, person)
        return known[person]

    return key_of


def _leaf_key(session: Session, person: str) -> bytes:
    with session.guard:
        (place,) = places_of(session, [person])
        with session.current().tree.key(place.slot) as key, key.view() as slot, new_room() as room, room.view() as view:
            derive(slot, LEAF_KEY, view)
            return bytes(view)

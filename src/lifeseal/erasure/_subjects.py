# SPDX-License-Identifier: Apache-2.0
"""Records of single people, each under a key of that person's own, so that one person can be forgotten."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from lifeseal._io import Arrow, StrPath
from lifeseal.erasure._batches import create, in_batches, places_of, seal_batch
from lifeseal.erasure._columns import open_batch
from lifeseal.erasure._erase import destroy
from lifeseal.erasure._files import SealedFile, UnsealedFile, seal_file, unseal_file
from lifeseal.erasure._find import FoundRecords, find_records
from lifeseal.erasure._forms import form_for, form_of, known
from lifeseal.erasure._holds import refuse_held_people
from lifeseal.erasure._leaf_keys import leaf_keys
from lifeseal.erasure._nodes import Head
from lifeseal.erasure._sealed import Sealed, bare
from lifeseal.erasure._session import Session
from lifeseal.erasure._tree import Edit
from lifeseal.erasure._values import ErasedSlot, Erasure
from lifeseal.erasure._work import Erased, Work, checked, gone
from lifeseal.errors import LimitError, StoreError
from lifeseal.principles import Fact, implements, note, refused

_MAX_ERASED = 50_000
_PLAIN = "What was read in plaintext, and whoever copied a key while the person's slot lived, is not reached by an erasure."


class Subjects:
    """The people of a vault; see `Vault.subjects`.

    A person is named by an id of yours. Ids are kept nowhere: the vault holds keyed fingerprints of those who are there, and nothing of the
    erased.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __facts__(self) -> dict[str, Fact]:
        return self._session.facts()

    @implements(evidences=["5.4", "13.1"], limits="A slot is a key to be; it protects what is sealed under it and nothing else.")
    def create_many(self, subjects: Iterable[str]) -> int:
        """Give slots to people, all in one epoch; those who have one keep it.

        `seal` and `seal_many` do so by themselves, a batch at a time. Each change writes the map's pages anew, so give all at once.

        Args:
            subjects: Their ids: 1 to 1024 characters, compared exactly. Some 200 bytes of memory are used for each; give a million at most.

        Returns:
            How many are new.

        Raises:
            LimitError: The vault has not so many of its 16 million slots left.
            LockedError: Another process writes to the vault.
            PendingError: The slots are there, but the root holder did not destroy the old root.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The vault is closed.
            StoreError: The root or the log is not there.
            TamperedError: The log was changed, or does not read back.
            ValueError: An id is none; the message gives its number, never the id.
            OSError: The disk refused; a note says which state is in force.
        """
        made = create(self._session, checked(subjects))
        note(epoch=self._session.epoch, people=made)
        return made

    @implements("5.4", "5.4.2", limits="Number, sizes and which records belong to one person stay visible; the plaintext given stays where it is.")
    def seal(self, subject: str, record: bytes) -> bytes:
        """Encrypt one record of one person, who gets a slot if need be; see `seal_many` for many.

        Args:
            subject: The person's id.
            record: At most 48 MB.

        Returns:
            The sealed record, 56 bytes longer. It names a slot of this vault, and no person.

        Raises:
            LimitError: The record is too large, or the vault has no slots left.
            LockedError: The person is new, and another process writes to the vault.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: The root or the log is not there.
            TamperedError: The log was changed.
            ValueError: The id is none.
            OSError: The disk refused.
        """
        (sealed,) = self._seal([(subject, record)], self._forgotten())
        note(epoch=self._session.epoch)
        return sealed

    @implements("5.4", "5.4.2", limits="Number, sizes and which records belong to one person stay visible; the plaintext given stays where it is.")
    def seal_many(self, records: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
        """Encrypt records of many people, in order, a batch at a time.

        People who are new get slots, a change of the vault for each batch that has some; call `create_many` before where many are.

        Args:
            records: Pairs of a person's id and a record.

        Returns:
            The sealed records. Iterating raises what `seal` raises; and `StateError` where people were erased after this call and
            somebody is unknown since: an erased person never comes back by the end of a stream.
        """
        note(epoch=self._session.epoch)
        return self._sealing(records, self._forgotten())

    @implements(evidences=["5.4.2"], limits=_PLAIN)
    def unseal(self, sealed: bytes) -> bytes:
        """Decrypt one record; see `unseal_many` for many.

        Args:
            sealed: From `seal`, or a line of a sealed JSONL file.

        Returns:
            The record.

        Raises:
            CredentialError: It was sealed in another vault.
            DestroyedError: The person was erased; the message gives the epoch.
            FormatError: It is no sealed record.
            PendingError: The person was erased, but the root holder has not destroyed the old root yet.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: The root or the log is not there.
            TamperedError: It was changed, or the log was.
            OSError: A file cannot be read.
        """
        work = Work.begin(self._session, f"{self._session.folder}, stream")
        (found,) = work.unseal([sealed])
        note(epoch=self._session.epoch)
        if not isinstance(found, bytes):
            raise gone(self._session, found, f"{work.where}, record 0")
        return found

    @implements(evidences=["5.4.2"], limits=_PLAIN + " Only a manifest shows that a record was dropped, or replaced by one of an erased person.")
    def unseal_many(self, sealed: Iterable[bytes], *, erased: Erased = "skip") -> Iterator[bytes | None]:
        """Decrypt records, in order, a batch at a time; before each batch the root is asked who was erased.

        What `lifeseal.provenance.checked` hands out of a sealed JSONL file can be given as it is: the manifest covers sealed bytes, which
        no erasure changes.

        Args:
            sealed: Sealed records, or lines of sealed JSONL files.
            erased: What becomes of records whose person was erased: left out (``skip``), None in their place (``mark``), or an error.

        Returns:
            The records. Iterating raises what `unseal` raises; `DestroyedError` only with ``refuse``.

        Raises:
            ValueError: ``erased`` is another word.
        """
        note(epoch=self._session.epoch)
        return self._unsealing(sealed, known(erased))

    @implements(evidences=["5.4.2"], limits=_PLAIN + " Only a manifest shows that a row was dropped, or replaced by one of an erased person.")
    def unseal_batches(self, batches: Iterable[Arrow], *, erased: Erased = "skip") -> Iterator[Arrow]:
        """Decrypt record batches of a sealed Parquet file, as `lifeseal.provenance.checked_batches` hands them out.

        Args:
            batches: Record batches of pyarrow, with the file's schema and its metadata.
            erased: What becomes of rows whose person was erased: left out (``skip``), nulls in every sealed column (``mark``), or an error.

        Returns:
            Tables of pyarrow. Iterating raises what `unseal` raises, and `FormatError` for batches that were not sealed.

        Raises:
            ValueError: ``erased`` is another word.
        """
        note(epoch=self._session.epoch)
        return self._unsealing_batches(batches, known(erased))

    @implements("5.4", "5.4.2", limits="Number, sizes and which records belong to one person stay visible; the plaintext given stays where it is.")
    def seal_file(self, source: StrPath, out: StrPath, *, id_field: str, clear: Sequence[str] = (), overwrite: bool = False) -> SealedFile:
        """Encrypt a file of people's records, each under its person's key, into another file.

        Of JSONL (``.jsonl``, ``.ndjson``) each line becomes a sealed line. Of Parquet (``.parquet``) the columns of each row become one
        sealed cell, but for those that are to stay clear. People who are new get slots first, all in one epoch; the file is read twice.
        The plaintext file stays.

        Args:
            source: The file.
            out: The new file.
            id_field: Field, or column, that names each record's person: text or whole numbers. It is sealed too.
            clear: Columns of Parquet that are not sealed; their values stay readable for ever.
            overwrite: Replace a file of that name when all is sealed.

        Returns:
            How many records and people.

        Raises:
            FileExistsError: ``out`` is there; no slot was made.
            FormatError: A record names no person, or the file is not what its name says; the message gives the record's number.
            LimitError: A record is too large, or the vault has no slots left.
            LockedError: Another process writes to the vault.
            MissingExtraError: pyarrow is not installed, for Parquet.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed; or people were erased meanwhile, and somebody is unknown since.
            StoreError: The root or the log is not there.
            TamperedError: The log was changed.
            ValueError: A file's name has another ending, ``out`` is ``source`` or lies in the vault, or a clear column is the id's.
            OSError: A file cannot be read or written.
        """
        done = seal_file(self._session, source, out, form_for(source, out, id_field=id_field, clear=clear), overwrite=overwrite)
        note(epoch=self._session.epoch, records=done.records, people=done.people)
        return done

    @implements(evidences=["5.4.2"], limits=_PLAIN + " The file it writes is plaintext outside the vault.")
    def unseal_file(
        self, source: StrPath, out: StrPath, *, erased: Erased = "skip", id_field: str | None = None, overwrite: bool = False
    ) -> UnsealedFile:
        """Decrypt a sealed file into another, which only its owner may read.

        Args:
            source: As `seal_file` wrote it.
            out: The new file.
            erased: What becomes of records whose person was erased: left out (``skip``), marked (``mark``: in JSONL a line that says so,
                in Parquet nulls in every sealed column), or an error (``refuse``).
            id_field: See that each record stands under the key of the person whom this field, or column, names.
            overwrite: Replace a file of that name when all is opened.

        Returns:
            How many records were written, and how many were of the erased.

        Raises:
            CredentialError: A record was sealed in another vault.
            DestroyedError: A person was erased, and ``erased`` is ``refuse``.
            FileExistsError: ``out`` is there.
            FormatError: It is no sealed file.
            MissingExtraError: pyarrow is not installed, for Parquet.
            PendingError: A person was erased, and the root holder has not destroyed the old root yet; only with ``refuse``.
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: The root or the log is not there.
            TamperedError: A record was changed, stands under another person's key, or the log was changed.
            ValueError: A file's name has another ending, ``out`` is ``source`` or lies in the vault, or ``erased`` is another word.
            OSError: A file cannot be read or written.
        """
        done = unseal_file(self._session, source, out, form_for(source, out, id_field=id_field), known(erased), overwrite=overwrite)
        note(epoch=self._session.epoch, records=done.records, erased=done.erased)
        return done

    @implements(
        "13.2",
        evidences=["13.1"],
        limits="Holds as far as the old root is gone (see Vault.assurance); plaintext, keys in running processes and models trained on it stay.",
    )
    def erase(self, subjects: Iterable[str]) -> Erasure:
        """Destroy people's keys, all in one epoch: their sealed records, wherever they lie, and their keyed leaf digests say nothing any more.

        No fingerprint of them stays. So who is erased twice is unknown the second time, and an unknown person stops the whole erasure: the
        `Erasure`, or the certificate made of it, is what remembers.

        Args:
            subjects: Their ids, each once; at most 50 000.

        Returns:
            What was destroyed; for each person, in order, a slot and a pseudonym, and never an id.

        Raises:
            LimitError: Too many for one call.
            LockedError: Another process writes to the vault.
            PendingError: The change is in force, but the root holder did not destroy the old root: not erased yet. The next change tries again.
            RolledBackError: Vault folder and root are of different times; nothing was changed.
            StateError: The vault is closed; or one is on hold (see `Vault.holds`), and nothing was changed.
            StoreError: Some have no slot, and nothing was changed; or the keys are gone and the message says what failed after.
            TamperedError: The log was changed, or does not read back.
            TypeError: One string was given instead of several.
            ValueError: No id, one twice, or one that is none.
            OSError: The disk refused to keep the change; a note says which state is in force.
        """
        if isinstance(subjects, str):
            raise TypeError("subjects must be several, such as [subject]")
        people = list(checked(subjects))
        if not people or len(set(people)) != len(people):
            raise ValueError("people must be given, each once")
        if len(people) > _MAX_ERASED:
            raise LimitError("an erasure", limit=_MAX_ERASED, seen=len(people), unit="people")
        session = self._session
        with session.writing() as state:
            refuse_held_people(state, people, where=str(session.folder))
            names = state.people
            tags = names.tags(people)
            doomed = [ErasedSlot(slot=place.slot, generation=place.generation) for place in places_of(session, people)]
            pseudonyms = tuple(names.pseudonym(person) for person in people)

            def stage(_: int) -> tuple[list[Edit], Head]:
                names.discard(tags)
                head = state.tree.head
                return names.edits(attrs.evolve(head, subjects=head.subjects - len(tags), forgotten=head.forgotten + len(tags)))

            return destroy(session, state, doomed, stage, by="lifeseal.erasure.Subjects.erase", pseudonyms=pseudonyms, people=len(people))

    @implements(evidences=["5.1", "13.1"], limits="It finds slots of this vault; which files hold records under them is for others to look.")
    def slots(self, subjects: Iterable[str]) -> tuple[ErasedSlot, ...]:
        """Tell under which slots people's records stand.

        Args:
            subjects: Their ids.

        Returns:
            For each person, in order, slot and generation, as `owner` reads them from a sealed record.

        Raises:
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: Some have no slot: never had, or were erased. The message gives their numbers.
            TamperedError: The log was changed.
            ValueError: An id is none.
            OSError: A file cannot be read.
        """
        people = list(checked(subjects))
        with self._session.guard:
            state = self._session.current()
            note(epoch=state.epoch, people=len(people))
            return tuple(ErasedSlot(slot=place.slot, generation=place.generation) for place in places_of(self._session, people))

    @implements(
        evidences=["5.1", "13.1"], limits="It looks through the files given and no others, by the slots that records name; plaintext it does not see."
    )
    def find_records(self, subjects: Iterable[str], files: Iterable[StrPath]) -> tuple[tuple[FoundRecords, ...], ...]:
        """Find people's records in sealed files; nothing is decrypted.

        Args:
            subjects: Their ids.
            files: Sealed files.

        Returns:
            For each person, in order, the files with records of theirs, and which records.

        Raises:
            CredentialError: A file was sealed in another vault.
            FormatError: A file is no sealed file.
            StoreError: Some have no slot: never had, or were erased. The message gives their numbers.
            TamperedError: The log was changed.
            ValueError: An id is none, or the name of a file has another ending.
            OSError: A file cannot be read.
        """
        people = list(checked(subjects))
        with self._session.guard:
            state = self._session.current()
            note(epoch=state.epoch, people=len(people))
            places = places_of(self._session, people)
        return find_records(self._session.id, places, [(path, form_of(path, id_field=None)) for path in files])

    def owner(self, sealed: bytes) -> ErasedSlot:
        """Tell under which slot a record was sealed, as it says; nothing is decrypted or authenticated.

        Args:
            sealed: From `seal`, or a line of a sealed JSONL file.

        Returns:
            Slot and generation.

        Raises:
            CredentialError: It was sealed in another vault.
            FormatError: It is no sealed record.
        """
        where = "a sealed record"
        found = Sealed.parse(bare(sealed, where=where), vault=self._session.id, where=where)
        return ErasedSlot(slot=found.slot, generation=found.generation)

    @implements(evidences=["13.1"], limits="Whoever holds the vault's root can tell which id it stands for, by trying.")
    def pseudonym(self, subject: str) -> str:
        """Return what may stand for a person in a document.

        It stays the same when the person is erased, so that the holder of the vault's root can say which erasure answered whom.

        Args:
            subject: The person's id.

        Returns:
            32 hexadecimal digits.

        Raises:
            RolledBackError: Vault folder and root are of different times.
            StateError: The vault is closed.
            StoreError: The vault never held records of people.
            ValueError: The id is none.
            OSError: A file cannot be read.
        """
        (person,) = checked([subject])
        with self._session.guard:
            state = self._session.current()
            note(epoch=state.epoch)
            if not state.tree.head.people:
                raise StoreError(f"{self._session.folder}: never held records of people")
            return state.people.pseudonym(person)

    @implements(
        evidences=["5.4.1", "13.2"], limits="The key is handed out in ordinary memory; digests made with it can be linked while the slot lives."
    )
    def leaf_keys(self, subject_of: Callable[[bytes], str]) -> Callable[[bytes], bytes]:
        """Return the function that gives each record its leaf key, for `lifeseal.provenance.record` over personal data in plaintext.

        The keys come from the people's slots: once a person is erased, nobody can compute a leaf from that person's record again. Keys
        that were handed out are kept for ten seconds, and the root is asked again after that.

        Args:
            subject_of: Tells whose a record is, such as `json_field("person")`.

        Returns:
            A function from a record to 32 bytes. It raises `StoreError` for a person without a slot: call `create_many` before.
        """
        return leaf_keys(self._session, subject_of)

    def _seal(self, records: list[tuple[str, bytes]], since: int) -> list[bytes]:
        people = list(checked(person for person, _ in records))
        return seal_batch(self._session, people, [record for _, record in records], since=since)

    def _forgotten(self) -> int:
        with self._session.guard:
            return self._session.current().tree.head.forgotten

    def _sealing(self, records: Iterable[tuple[str, bytes]], since: int) -> Iterator[bytes]:
        for batch in in_batches(records, lambda pair: len(pair[1])):
            yield from self._seal(batch, since)

    def _unsealing_batches(self, batches: Iterable[Arrow], erased: Erased) -> Iterator[Arrow]:
        try:
            work = Work.begin(self._session, f"{self._session.folder}, stream", refuse=erased == "refuse")
            for batch in batches:
                opened = open_batch(batch, work, mark=erased == "mark")
                if opened is not None:
                    yield opened
        except Exception as error:
            refused(Subjects.unseal_batches, error, vault=self._session.id.hex(), epoch=self._session.epoch)
            raise

    def _unsealing(self, sealed: Iterable[bytes], erased: Erased) -> Iterator[bytes | None]:
        try:
            work = Work.begin(self._session, f"{self._session.folder}, stream", refuse=erased == "refuse")
            for batch in in_batches(sealed, len):
                for found in work.unseal(batch):
                    if isinstance(found, bytes):
                        yield found
                    elif erased == "mark":
                        yield None
        except Exception as error:
            refused(Subjects.unseal_many, error, vault=self._session.id.hex(), epoch=self._session.epoch)
            raise

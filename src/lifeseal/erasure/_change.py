# SPDX-License-Identifier: Apache-2.0
"""Reading a vault's present state, and the one way to change it: nodes durable, then a fresh root, then the old one is gone."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import attrs

from lifeseal._io import Appender, Secret, replacing
from lifeseal.erasure._history import History
from lifeseal.erasure._holders import HeldRoot, RootHolder
from lifeseal.erasure._layout import log_epochs, log_name, log_names, read_description
from lifeseal.erasure._leftovers import clear, free_epoch
from lifeseal.erasure._log import Batch, LogReader, done_note
from lifeseal.erasure._map import NameMap
from lifeseal.erasure._nodes import Head
from lifeseal.erasure._people import PeopleMap
from lifeseal.erasure._roots import RETIRED, Roots
from lifeseal.erasure._tree import Edit, Tree, write_tree
from lifeseal.errors import CredentialError, FormatError, LifesealError, PendingError, RolledBackError, StoreError, TamperedError
from lifeseal.principles import note


class State:
    """A vault at one epoch; close it after use."""

    def __init__(self, roots: Roots, tree: Tree, mark: object) -> None:
        self.roots = roots
        self.tree = tree
        self.mark = mark
        self._names: NameMap | None = None
        self._people: PeopleMap | None = None

    @property
    def folder(self) -> Path:
        """The vault folder."""
        return self.roots.folder

    @property
    def epoch(self) -> int:
        """Which epoch."""
        return self.tree.epoch

    @property
    def names(self) -> NameMap:
        """The map from names to slots; read when it is first asked for."""
        if self._names is None:
            self._names = NameMap(self.tree)
        return self._names

    @property
    def people(self) -> PeopleMap:
        """The map from people to slots; read when it is first asked for."""
        if self._people is None:
            self._people = PeopleMap(self.tree)
        return self._people

    @property
    def history(self) -> History:
        """What is known of other holders; read from its page at each call."""
        page = self.tree.head.history
        return History.from_bytes(bytes(self.tree.page(page - 1)), where=self.tree.log.where) if page else History()

    def unsettled(self) -> tuple[str, ...]:
        """List what may still open an older root: in the holder in force, and in others."""
        others = tuple(other.called for other in self.history.others if other.state != "destroyed")
        return self.roots.unsettled(self.epoch) + others

    def waiting(self, created: int, erased: int) -> tuple[str, ...]:
        """List what may still open a slot that was erased.

        Args:
            created: Epoch in which it became live; 0 if that is not known.
            erased: Epoch of its erasure.
        """
        others = tuple(other.called for other in self.history.reaching(created, erased) if other.state != "destroyed")
        return self.roots.unsettled(self.epoch) + others

    def forget_names(self) -> None:
        """Drop the maps, with what was staged in them; they are read again when they are asked for."""
        for opened in (self._names, self._people):
            if opened is not None:
                opened.close()
        self._names = self._people = None

    def close(self) -> None:
        """Zero what is in memory; twice is no error."""
        self.tree.close()
        self.forget_names()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@attrs.frozen(kw_only=True)
class Outcome:
    """What a change left.

    Attributes:
        left: Names in the folder that could not be unlinked.
        pending: Key versions that the holder will destroy, but has not yet.
    """

    left: tuple[str, ...]
    pending: tuple[str, ...]


def load(folder: Path, holder: RootHolder) -> State:
    """Open the tree that the root opens; writes nothing and takes no lock.

    Args:
        folder: The vault folder.
        holder: The root holder.

    Returns:
        The state; close it after use.

    Raises:
        CredentialError: The root belongs to another vault or another holder, or may not be read.
        DestroyedError: The key version that wrapped the root is gone, and so is the vault.
        FormatError: The folder is no vault, the root no root, or a log a link.
        RolledBackError: Folder and root are of different times.
        StoreError: The root or the log is missing.
        TamperedError: The log or the root was changed.
        OSError: A file cannot be read.
    """
    vault, kind, fingerprint = read_description(folder)
    note(vault=vault.hex())  # so that a refusal, too, says of which vault
    roots = Roots(folder=folder, vault=vault, holder=holder)
    ours = (kind, fingerprint) == (holder.kind, holder.fingerprint)
    try:
        if not ours:
            raise CredentialError(f"{folder}: sealed under a root of kind {kind[:40]!r}; the one given is of kind {holder.kind!r}, or another one")
        return reload(roots)
    except (LifesealError, OSError):
        note(epoch=_last_seen(roots, ask=ours))
        raise


def _last_seen(roots: Roots, *, ask: bool) -> int:
    """Tell the epoch for the event of a refusal: what the root says, else what the folder claims, which nothing vouches for; 0 if neither does."""
    with contextlib.suppress(LifesealError, OSError):
        if ask and (said := roots.newest()):
            return said
    newest = 0
    with contextlib.suppress(LifesealError, OSError):
        for start in log_epochs(roots.folder):
            with LogReader(roots.folder, start, roots.vault) as log:
                _, last, _ = log.find(RETIRED)
            newest = max(newest, 0 if last is None else last.epoch)
    return newest


def reload(roots: Roots) -> State:
    """Open the tree that the root of a known vault opens; see `load`."""
    mark: object = None

    def use(held: HeldRoot) -> State:
        nonlocal mark
        mark = mark or held.epoch
        return State(roots, open_tree(roots.folder, held), mark)

    while True:
        mark = None if roots.cell is not None else roots.mark()  # a cell says it in the same read
        try:
            return roots.open(use)
        except (FileNotFoundError, RolledBackError, StoreError, TamperedError):
            if mark is None or roots.mark() == mark:
                raise  # else a writer went on in between: look at the root once more


def open_tree(folder: Path, held: HeldRoot) -> Tree:
    """Find the batch of a root's epoch in the folder's logs, and open its root node.

    Args:
        folder: The vault folder.
        held: The root.

    Returns:
        The tree.

    Raises:
        FormatError: A log is a link or a folder, and no other will do.
        RolledBackError: The folder is older than the root, or newer.
        StoreError: No log is there.
        TamperedError: The root node does not open.
        OSError: A log cannot be read.
    """
    odd: FormatError | TamperedError | None = None
    newest = 0
    for start in sorted(log_names(folder), reverse=True):
        if start > held.epoch:
            continue
        try:
            log = LogReader(folder, start, held.vault)
        except FormatError as error:
            odd = odd or error
            continue
        with contextlib.ExitStack() as stack:
            stack.callback(log.close)
            commit, last, in_force = log.find(held.epoch)
            if commit is None:
                if last is not None and last.epoch < held.epoch and log.is_torn(last):
                    odd = odd or TamperedError(f"{log.where}, byte {last.end}: the change of epoch {held.epoch} was damaged or cut")
                newest = max(newest, 0 if last is None else last.epoch)
                continue
            if in_force > held.epoch:
                raise _root_is_older(folder, in_force, held.epoch)
            try:
                tree = Tree(log, commit, held.key)
            except TamperedError as error:
                odd, newest = odd or error, 0  # a compaction that was interrupted wrote a log of the same epoch under another root
                continue
            stack.pop_all()
            return tree
    if isinstance(odd, TamperedError):
        raise odd
    raise _missing(folder, newest, held.epoch, odd)


def refuse_newer(state: State) -> None:
    """Refuse to write where the folder is newer than the root. Call it within the holder's lock.

    Args:
        state: What the root opens.

    Raises:
        RolledBackError: A log begins more than one change after the root; nothing may be cleared away.
        OSError: The folder cannot be read.
    """
    epochs = log_epochs(state.folder)
    if epochs and epochs[-1] > free_epoch(state.folder, state.epoch):
        raise _root_is_older(state.folder, epochs[-1], state.epoch)


def found_vault(roots: Roots) -> None:
    """Write the first log of a new vault, and put its root in force.

    Args:
        roots: Where the root shall lie; the folder holds the description already.
    """
    with NameMap(None) as names:
        edits, head = names.edits(Head())
        key = write_log(roots.folder, roots.vault, 1, lambda batch: write_tree(None, None, edits, head, batch))
    with HeldRoot(vault=roots.vault, epoch=1, key=key) as fresh:
        roots.commit(fresh, over=None)
        roots.check(fresh)


def commit(state: State, edits: Sequence[Edit], head: Head, *, what: str, orphans: bool = True) -> tuple[State, Outcome]:
    """Put a changed tree in force under a fresh root, and let go of the old one.

    The order is the promise: nodes durable, root replaced (from here on the change holds), both read back through the holder; then the
    containers of no live slot and stale logs are unlinked, as far as the disk lets go of them. An error before the root was replaced leaves
    the old state.

    Args:
        state: What is in force; the holder is locked. Closed by this if the change succeeds.
        edits: What becomes of slots, sorted, without overlap.
        head: What goes into the root node.
        what: What has happened once the root is replaced, for messages: "the keys are gone".
        orphans: Look for containers of no live slot; false where there can be none.

    Returns:
        The new state, and what was left.

    Raises:
        PendingError: The new root is in force, but the old one is not gone.
        StoreError: The root was replaced, but what follows failed; the message says so.
        TamperedError: Root or nodes do not read back as they were written.
        OSError: The disk refused before that; a note says which state is in force.
    """
    epoch = free_epoch(state.folder, state.epoch)
    key = append(state, epoch, edits, head)
    return switch(state, HeldRoot(vault=state.roots.vault, epoch=epoch, key=key), what=what, orphans=orphans)


def switch(state: State, fresh: HeldRoot, *, what: str, orphans: bool = True) -> tuple[State, Outcome]:
    """Put a root in force whose nodes are durable; see `commit`."""
    folder, roots, epoch = state.folder, state.roots, fresh.epoch
    with fresh:
        try:
            pending = roots.commit(fresh, over=state.epoch)
        except PendingError as error:
            error.add_note(f"{folder}: epoch {epoch} is in force, not yet for good: {what}")
            raise
        except (OSError, LifesealError) as error:
            error.add_note(_in_force(state, epoch=epoch, what=what))
            raise
        done = f"{folder}: epoch {epoch} is in force: {what}"
        with after_commit(done):
            try:
                following = reload(roots)  # what opens the new root node is the new root: no other key does
                if following.epoch != epoch:
                    following.close()
                    raise TamperedError(f"{folder}: the root reads back differently from what was written: it is that of epoch {following.epoch}")
            except TamperedError as error:
                raise TamperedError(f"{error}, so it cannot be said that {what}") from None
    with after_commit(done):
        state.close()
        note_in_force(following, durable=False)
        return following, Outcome(left=clear(folder, following.tree, orphans=orphans), pending=pending)


def write_log(folder: Path, vault: bytes, epoch: int, build: Callable[[Batch], tuple[Secret, int]]) -> Secret:
    """Write a whole new log with one batch, durably.

    Args:
        folder: The vault folder.
        vault: Vault id.
        epoch: Of the batch.
        build: Fills it; returns root key and place of the root node.

    Returns:
        The root key.
    """
    with replacing(folder / log_name(epoch), mode=0o600) as output:
        batch = Batch(output.write, vault, epoch, after=None)
        key, root = build(batch)
        batch.finish(root)
    return key


@contextlib.contextmanager
def after_commit(done: str) -> Iterator[None]:
    """Make every error say what is already done, and a disk's refusal an error of ours."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{done}; what follows it failed: {error}. The next writer clears away what is left") from error
    except LifesealError as error:
        error.add_note(done)
        raise


def append(state: State, epoch: int, edits: Sequence[Edit], head: Head) -> Secret:
    """Append a batch to the log in force, durably; what an interrupted change left behind it is cut off first.

    Args:
        state: What is in force.
        epoch: Of the batch.
        edits: What becomes of slots, sorted, without overlap.
        head: What goes into the root node.

    Returns:
        The root key; close it after use.

    Raises:
        TamperedError: A node does not open.
        OSError: The disk refused; the batch is cut off again.
    """
    log = state.tree.log
    end = log.end_of(state.tree.commit)
    file = Appender(log.where, create=False)
    key = None
    try:
        file.cut(end)
        before = state.tree.commit
        batch = Batch(lambda data: file.append(data, durable=False, lines=False), log.vault, epoch, after=before, noted=end > before.end)
        key, root = write_tree(state.tree, log, edits, head, batch)
        batch.finish(root)
        file.append(b"", durable=True, lines=False)
    except BaseException:
        if key is not None:
            key.close()
        with contextlib.suppress(OSError):
            file.cut(end)
        raise
    finally:
        file.close()
    return key


def note_in_force(state: State, *, durable: bool) -> None:
    """Write behind the batch that its root is in force, so that an older root is known to be older; as far as the disk lets it.

    Args:
        state: What is in force.
        durable: Wait for the disk; where two holders have a root that opens, only this tells which is older.
    """
    with contextlib.suppress(OSError, FormatError):
        file = Appender(state.tree.log.where, create=False)
        try:
            if file.size() == state.tree.commit.end:
                file.append(done_note(state.roots.vault, state.epoch), durable=durable, lines=False)
        finally:
            file.close()


def _in_force(state: State, *, epoch: int, what: str) -> str:
    """Say what the holder holds after the root may or may not have been replaced."""
    try:
        with reload(state.roots) as found:
            seen = found.epoch
    except (LifesealError, OSError):
        return f"the root cannot be read now: it is not known whether {what}"
    if seen == state.epoch:
        return f"nothing was changed: epoch {state.epoch} is still in force"
    again = f"a power cut may bring epoch {state.epoch} back" if state.roots.cell is not None else f"the root of epoch {state.epoch} may not be gone"
    return f"epoch {epoch} is in force: {what}, but {again}; the next change makes this one last"


def _root_is_older(folder: Path, newest: int, epoch: int) -> RolledBackError:
    return RolledBackError(
        f"{folder}: the folder has reached epoch {newest}, the root is at epoch {epoch}: the root was restored; "
        "nothing was changed. If somebody planted a log of that epoch, move it out of the vault"
    )


def _missing(folder: Path, newest: int, epoch: int, odd: LifesealError | None) -> LifesealError:
    if newest:
        return RolledBackError(
            f"{folder}: the newest change is of epoch {newest}, the root is at epoch {epoch}: "
            "this folder was copied or restored from before a change, and its keys are gone"
        )
    if odd is not None:
        return odd
    epochs = log_epochs(folder)
    if epochs and epochs[0] > epoch:
        return _root_is_older(folder, epochs[0], epoch)
    if epochs:
        return TamperedError(f"{folder / log_name(epochs[-1])}: holds no whole batch of this vault; it was changed or cut")
    return StoreError(f"{folder}: no node log is there; without it the vault cannot be read")

# SPDX-License-Identifier: Apache-2.0
"""One NV index of a TPM 2.0, and a session with it: authorised, salted, encrypted; with the TPM's answers as errors of ours."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from lifeseal._io import Secret, require
from lifeseal.errors import CredentialError, FormatError, StateError, StoreError

T = TypeVar("T")
_PAUSES = (0.05, 0.2, 1.0, 4.0)  # seconds, while the TPM says that it spares its memory
_FROM_TPM = {0, 0xB0000, 0xC0000}  # layers of return codes: the TPM itself, and what a resource manager hands on
_LAYER = 0xFF0000
_WRONG_AUTH = "the authorisation value is wrong; the TPM counts such attempts, and locks itself after some"
_LOCKED_OUT = "the TPM is locked after too many wrong authorisation values; wait, or let its owner end that (tpm2_dictionarylockout --clear-lockout)"
_CREDENTIAL = {
    "AUTH_FAIL": _WRONG_AUTH,
    "BAD_AUTH": "the authorisation value is wrong",
    "LOCKOUT": _LOCKED_OUT,
    "NV_AUTHORIZATION": "the index does not allow this with its authorisation value",
    "NV_LOCKED": "the index is locked until the TPM starts anew",
}
_BUSY = ("NV_RATE", "NV_UNAVAILABLE", "RETRY", "YIELDED", "TESTING")


class Index:
    """An NV index, for the length of a block.

    Args:
        tcti: How the TPM is reached, as ``device:/dev/tpmrm0``.
        number: Of the index.
        size: Bytes that it holds.
        auth: Its authorisation value.

    Raises:
        CredentialError: The TPM refuses the authorisation value, or is locked.
        StoreError: It is not reached.
    """

    def __init__(self, tcti: str, number: int, size: int, auth: Secret) -> None:
        self._where = f"TPM, NV index {number:#010x}"
        self._number = number
        self._size = size
        self._auth = auth
        self.refused = False  # whether it counted a wrong value of ours
        self._tss: Any = require("tpm2_pytss", extra="tpm")
        self._stack = contextlib.ExitStack()
        with self._answers(f"the TPM is not reached through {tcti!r}"):
            self._tpm = self._stack.enter_context(self._tss.ESAPI(tcti))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def is_defined(self) -> bool:
        """Tell whether the index is there."""
        with self._answers("the TPM cannot be asked for its indices"):
            _, found = self._tpm.get_capability(self._tss.TPM2_CAP.HANDLES, self._number, 1)
            return bool(found.data.handles.count) and int(found.data.handles[0]) == self._number

    def is_written(self) -> bool:
        """Tell whether the index holds anything.

        Raises:
            FormatError: It was not made as it must be.
        """
        with self._answers("the index cannot be looked at"):
            public, _ = self._tpm.nv_read_public(self._handle())
            public = public.nvPublic
        written = self._tss.TPMA_NV.WRITTEN
        wanted = self._attributes()
        if int(public.attributes) & ~int(written) != wanted or public.dataSize != self._size or bytes(public.authPolicy):
            raise FormatError(
                self._where, f"an index of {self._size} bytes with the attributes authread, authwrite, writeall and no policy was expected"
            )
        return bool(int(public.attributes) & int(written))

    def define(self, owner_auth: Secret | None) -> None:
        """Make the index.

        Args:
            owner_auth: Authorisation value of the owner of the TPM; None if it is empty.
        """
        public = self._tss.TPM2B_NV_PUBLIC(
            nvPublic=self._tss.TPMS_NV_PUBLIC(
                nvIndex=self._number, nameAlg=self._tss.TPM2_ALG.SHA256, attributes=self._attributes(), authPolicy=b"", dataSize=self._size
            )
        )
        with self._session(sends=True) as session, self._auth.view() as auth:
            self._as_owner(owner_auth)
            self._call("the index cannot be made", lambda: self._tpm.nv_define_space(bytes(auth), public, session1=session))

    def undefine(self, owner_auth: Secret | None) -> None:
        """Remove the index, and with it what it holds."""
        with self._session(sends=False) as session:
            self._as_owner(owner_auth)
            self._call("the index cannot be removed", lambda: self._tpm.nv_undefine_space(self._handle(), session1=session))

    def read_into(self, out: memoryview) -> None:
        """Read all that it holds; encrypted on its way."""
        with self._session(sends=False, receives=True) as session:
            handle = self._own_handle()
            found = self._call("the index cannot be read", lambda: bytes(self._tpm.nv_read(handle, self._size, 0, handle, session1=session)))
            out[:] = found

    def write(self, data: memoryview) -> None:
        """Replace all that it holds in one write; encrypted on its way."""
        with self._session(sends=True) as session:
            handle = self._own_handle()
            self._call("the index cannot be written", lambda: self._tpm.nv_write(handle, bytes(data), 0, handle, session1=session))

    def _attributes(self) -> int:
        """Only its own value opens it, guesses are counted, it is written whole, and every write goes to memory that lasts."""
        kinds = self._tss.TPMA_NV
        return int(kinds.AUTHREAD | kinds.AUTHWRITE | kinds.WRITEALL)

    def _handle(self) -> Any:  # noqa: ANN401 - types of a package that need not be there
        return self._tpm.tr_from_tpmpublic(self._number)

    def _own_handle(self) -> Any:  # noqa: ANN401 - the same
        with self._answers("the index is not there"), self._auth.view() as auth:
            handle = self._handle()
            self._tpm.tr_set_auth(handle, bytes(auth))
        return handle

    def _as_owner(self, owner_auth: Secret | None) -> None:
        if owner_auth is not None:
            with owner_auth.view() as auth:
                self._tpm.tr_set_auth(self._tss.ESYS_TR.OWNER, bytes(auth))

    @contextlib.contextmanager
    def _session(self, *, sends: bool, receives: bool = False) -> Iterator[Any]:
        """Start a session whose key is salted under a key of the TPM's, so that nobody who listens can compute it from a weak value."""
        tss, kinds = self._tss, self._tss.TPMA_SESSION
        with contextlib.ExitStack() as stack, self._answers("no session could be started"):
            salt = self._tpm.create_primary(None, "ecc256:aes128cfb", tss.ESYS_TR.RH_NULL)[0]
            try:
                session = self._tpm.start_auth_session(salt, tss.ESYS_TR.NONE, tss.TPM2_SE.HMAC, "aes128cfb", tss.TPM2_ALG.SHA256)
            finally:
                self._tpm.flush_context(salt)
            stack.callback(self._flush, session)
            attributes = kinds.CONTINUESESSION | (kinds.DECRYPT if sends else 0) | (kinds.ENCRYPT if receives else 0)
            self._tpm.trsess_set_attributes(session, attributes)
            yield session

    def _flush(self, session: Any) -> None:  # noqa: ANN401 - the same
        with contextlib.suppress(self._tss.TSS2_Exception):  # the TPM ends it when it starts anew
            self._tpm.flush_context(session)

    def _call(self, what: str, command: Callable[[], T]) -> T:
        """Run a command, again after a pause where the TPM asks for that."""
        busy = {int(getattr(self._tss.TPM2_RC, name)) for name in _BUSY}
        for pause in _PAUSES:
            try:
                with self._answers(what, hand_on=busy):
                    return command()
            except self._tss.TSS2_Exception:
                time.sleep(pause)
        with self._answers(what):
            return command()

    @contextlib.contextmanager
    def _answers(self, what: str, *, hand_on: frozenset[int] | set[int] = frozenset()) -> Iterator[None]:
        """Turn the TPM's refusals into errors of ours."""
        try:
            yield
        except self._tss.TSS2_Exception as error:
            code, codes = int(error.error), self._tss.TPM2_RC
            if int(error.rc) & _LAYER not in _FROM_TPM:
                raise StoreError(f"{self._where}: {what}: {error}") from None
            if code in hand_on:
                raise
            self.refused = self.refused or code == int(codes.AUTH_FAIL)
            for name, told in _CREDENTIAL.items():
                if code == int(getattr(codes, name)):
                    raise CredentialError(f"{self._where}: {what}: {told}") from None
            if code == int(codes.NV_DEFINED):
                raise FileExistsError(f"{self._where}: is there already") from None
            if code == int(codes.NV_SPACE):
                raise StateError(f"{self._where}: {what}: the TPM has no room left for it; remove indices that nobody uses") from None
            raise StoreError(f"{self._where}: {what}: {error}") from None

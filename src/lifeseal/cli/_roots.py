# SPDX-License-Identifier: Apache-2.0
"""Where the root of a vault is: ``--root``, or the user's own configuration; never the vault."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from lifeseal.cli._cell_roots import keyring_root, tpm_root
from lifeseal.cli._named_root import Named
from lifeseal.cli._options import PATH, refuse_half_unicode
from lifeseal.cli._service_roots import aws_kms_root, openbao_root, pkcs11_root

if TYPE_CHECKING:
    from lifeseal.erasure import RootHolder

R = TypeVar("R")


class Kind(NamedTuple):
    """A sort of root.

    Attributes:
        form: How it is written, for messages.
        build: Makes the holder.
        secret: Whether it has one.
    """

    form: str
    build: "Callable[[Named], RootHolder]"
    secret: bool = False


def _file(named: Named) -> "RootHolder":
    from lifeseal.erasure import FileRoot

    if not named.place:
        raise click.UsageError(f"a root file is written file:PATH, not {named.uri!r}")
    path = Path(os.path.expanduser(named.place))  # noqa: PTH111 - leaves an unknown ~user as it is, where pathlib raises
    if named.configured and not path.is_absolute():
        raise click.UsageError(f"your configuration names the root {named.uri!r}; there it must be an absolute path")
    return FileRoot(path)


def _passphrase(named: Named) -> "RootHolder":
    from lifeseal.erasure import PassphraseRoot

    if named.place:
        raise click.UsageError("a passphrase root is written passphrase:, with nothing behind the colon")
    return PassphraseRoot(named.secret("passphrase", confirm=named.new))


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "file": Kind(form="file:PATH", build=_file),
        "passphrase": Kind(form="passphrase:", build=_passphrase, secret=True),
        "keyring": Kind(form="keyring:NAME", build=keyring_root),
        "tpm": Kind(form="tpm:INDEX", build=tpm_root, secret=True),
        "pkcs11": Kind(form="pkcs11:token=LABEL?module-path=LIBRARY", build=pkcs11_root, secret=True),
        "openbao": Kind(form="openbao:https://HOST:8200/MOUNT", build=openbao_root, secret=True),
        "aws-kms": Kind(form="aws-kms:REGION", build=aws_kms_root),
    }
)
FORMS = " or ".join([", ".join(kind.form for kind in list(KINDS.values())[:-1]), list(KINDS.values())[-1].form])


def root_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--root`` and what belongs to it, and hand it the root holder for its vault as ``root``."""

    @click.option("--root", "uri", metavar="URI", help=f"Where the root key is: {FORMS}; by default from your configuration.")
    @click.option("--config", type=PATH, help="Your configuration; by default lifeseal/config.toml under XDG_CONFIG_HOME.")
    @click.option(
        "--root-secret-file", "secret_file", type=PATH, help="The root's passphrase, PIN or token on the first line; - reads standard input."
    )
    @click.option("--allow-unlocked-memory", is_flag=True, help="Go on where key memory cannot be locked against swapping.")
    @functools.wraps(command)
    def run(*args: object, uri: str | None, config: Path | None, secret_file: Path | None, allow_unlocked_memory: bool, **arguments: object) -> R:
        folder = arguments.get("vault") or arguments.get("directory")
        refuse_half_unicode({"--root": uri})
        if folder is None and uri is not None:
            raise click.UsageError("--root: there is no --vault that it would open")
        if allow_unlocked_memory:
            from lifeseal import erasure

            erasure.allow_unlocked_memory()
        if folder is None or arguments.get("structure_only"):
            return command(*args, root=None, **arguments)
        root = root_from(uri, config, Path(str(folder)), secret_file=secret_file, new="directory" in arguments)
        return command(*args, root=root, **arguments)

    return run


def root_from(
    uri: str | None, config: Path | None, vault: Path, *, secret_file: Path | None = None, new: bool = False, option: str = "--root"
) -> "RootHolder":
    """Build the root holder from its URI, or from the user's own configuration; never from the vault.

    Args:
        uri: As ``file:PATH``, or ``passphrase:``; see `KINDS`.
        config: The configuration file: a table ``[roots]`` from absolute vault folders to URIs.
        vault: The vault folder.
        secret_file: Where a passphrase, PIN or token stands; without it a terminal is asked.
        new: Ask twice for a passphrase.
        option: That names it, for messages.

    Returns:
        The holder.

    Raises:
        click.UsageError: No root is named, or its kind is unknown.
    """
    found = uri or _configured(config, vault)
    if found is None:
        raise click.UsageError(f"where is the root of {vault}? Give --root {FORMS}, or name it in your configuration under [roots]")
    word, colon, place = found.partition(":")
    kind = KINDS.get(word)
    if kind is None or not colon:
        raise click.UsageError(f"a root is written {FORMS}, not {found!r}")
    if secret_file is not None and not kind.secret:
        raise click.UsageError(f"{option}-secret-file: a root that is written {kind.form} has no secret")
    return kind.build(Named(uri=found, place=place, vault=vault, secret_file=secret_file, new=new, configured=uri is None, option=option))


def _configured(config: Path | None, vault: Path) -> str | None:
    import tomllib

    from lifeseal._io import read_bounded

    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - raises nothing where there is no home
    path = config or Path(home) / "lifeseal" / "config.toml"
    if config is None and not path.exists():
        return None
    try:
        document = tomllib.loads(read_bounded(path, limit=1 << 20).decode("utf-8"))
    except UnicodeDecodeError:
        raise click.UsageError(f"{path}: a TOML file was expected, and this is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise click.UsageError(f"{path}: a TOML file was expected: {error}") from None
    roots = document.get("roots", {})
    if not isinstance(roots, dict) or not all(isinstance(uri, str) for uri in roots.values()):
        raise click.UsageError(f"{path}: [roots] was expected to be a table from vault folders to roots")
    named: dict[str, str] = roots
    return named.get(str(vault.absolute())) or named.get(os.path.realpath(vault))

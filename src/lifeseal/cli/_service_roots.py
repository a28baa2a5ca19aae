# SPDX-License-Identifier: Apache-2.0
"""Roots in tokens and services, from their URIs."""

from typing import TYPE_CHECKING

import click

from lifeseal.cli._named_root import Named, Options

if TYPE_CHECKING:
    from lifeseal.erasure import RootHolder


def pkcs11_root(named: Named) -> "RootHolder":
    """Build a root in a token from a PKCS #11 URI (RFC 7512): ``token``, ``serial``; ``module-path``, ``hardware``, ``retention-days``."""
    from lifeseal.erasure import Pkcs11Root

    path, _, query = named.place.partition("?")
    inside, asked = Options(path, ";", uri=named.uri), Options(query, "&", uri=named.uri)
    token, serial, module = inside.take("token"), inside.take("serial"), asked.take("module-path")
    hardware, retention = asked.take_flag("hardware"), asked.take_days("retention-days")
    for name in ("pin-value", "pin-source"):
        if asked.take(name) is not None:
            raise click.UsageError(f"a root's URI holds no {name}: the PIN is asked on a terminal; elsewhere give --root-secret-file")
    inside.done()
    asked.done()
    if token is None or module is None:
        raise click.UsageError(f"a root in a token is written pkcs11:token=LABEL?module-path=LIBRARY, not {named.uri!r}")
    if not module.startswith("/"):
        raise click.UsageError(f"{named.uri!r}: module-path is an absolute path")
    return Pkcs11Root(module, token=token, serial=serial, hardware=hardware, retention=retention, pin=named.secret("PIN"))


def openbao_root(named: Named) -> "RootHolder":
    """Build a root in a transit engine from ``openbao:`` and an address that ends in the mount: ``namespace``, ``ca``, ``retention-days``."""
    from urllib.parse import urlsplit

    from lifeseal._io import require
    from lifeseal.erasure import OpenBaoRoot

    address = urlsplit(named.place)
    asked = Options(address.query, "&", uri=named.uri)
    namespace, authority, retention = asked.take("namespace"), asked.take("ca"), asked.take_days("retention-days")
    asked.done()
    mount = address.path.strip("/")
    if address.scheme not in {"http", "https"} or not address.hostname or not mount or address.username is not None or address.fragment:
        raise click.UsageError(f"a root in OpenBao is written openbao:https://HOST:8200/MOUNT, not {named.uri!r}")
    hvac = require("hvac", extra="vault")
    token = named.secret("token").decode("utf-8", "replace")
    client = hvac.Client(
        url=f"{address.scheme}://{address.netloc}", token=token, namespace=namespace, verify=True if authority is None else authority, timeout=30
    )
    try:
        return OpenBaoRoot(client, mount=mount, retention=retention)
    except ValueError as error:
        raise click.UsageError(f"{named.uri!r}: {error}") from None


def aws_kms_root(named: Named) -> "RootHolder":
    """Build a root under AWS KMS from ``aws-kms:REGION``: ``prefix``, ``profile``, ``days``, ``retention-days``; AWS's tools find the credentials."""
    from lifeseal._io import require
    from lifeseal.erasure import AwsKmsRoot

    region, _, query = named.place.partition("?")
    asked = Options(query, "&", uri=named.uri)
    prefix, profile, days, retention = asked.take("prefix"), asked.take("profile"), asked.take_days("days"), asked.take_days("retention-days")
    asked.done()
    if not region or not region.replace("-", "").isalnum():
        raise click.UsageError(f"a root under AWS KMS is written aws-kms:REGION, not {named.uri!r}")
    boto3, config = require("boto3", extra="aws"), require("botocore.config", extra="aws")
    botocore = require("botocore.exceptions", extra="aws")
    try:
        client = boto3.Session(profile_name=profile).client("kms", region_name=region, config=config.Config(connect_timeout=10, read_timeout=30))
        return AwsKmsRoot(client, prefix=prefix or "lifeseal", days=7 if days is None else days.days, retention=retention)
    except (ValueError, botocore.BotoCoreError) as error:
        raise click.UsageError(f"{named.uri!r}: {error}") from None

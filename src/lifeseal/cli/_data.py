# SPDX-License-Identifier: Apache-2.0
"""``data``: the commands about datasets, each in a module of its own."""

import click

from lifeseal.cli._data_export import export
from lifeseal.cli._data_proofs import check_proof, diff, prove
from lifeseal.cli._data_record import record
from lifeseal.cli._data_trace import trace
from lifeseal.cli._data_verify import verify


@click.group()
def data() -> None:
    """Record where data came from, and find every later change."""


for command in (record, verify, diff, prove, check_proof, export, trace):
    data.add_command(command)

# SPDX-License-Identifier: Apache-2.0
"""What was once written is read for ever, and the same data is recorded in the same bytes."""

from pathlib import Path

import pytest

from lifeseal import provenance
from lifeseal.provenance import Manifest, Records

VECTORS = Path(__file__).parent.parent / "vectors" / "datasets"
KEY = b"the key of the golden files"
DIGESTS = {
    "v1": "sha256:356018eebe430a47777b853e208f57b27a1359a1c48a52d08984e7a69cac9337",
    "v2": "sha256:fec0bb7027537df4922c4dddb6aa55c227fc8702a4dd7c4d1ad5007f7b6b0e99",
    "v2-keyed": "sha256:bfeed111ca5fe6f3ef84e8a5df5fee8daae312e8c241baf90b4daff119368a52",
    "v2-tables": "sha256:d5c53a348485bc11df86427e5ddf2f7ff595aa2c23da94ee9a4699043d4f7673",
    "v3": "sha256:ea580f65718f322e709089b5b4afd9139f53e3249a9cd4d7cc235f89209b82bc",
}
DATA = {"v2-tables": "tables"}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_golden_manifest_is_read_and_its_data_verifies(name):
    found = Manifest.load(VECTORS / f"{name}.json")
    assert found.digest == DIGESTS[name]
    assert provenance.verify(found, VECTORS / DATA.get(name, "data")).files == len(found.files)


@pytest.mark.parametrize("name", ["v2", "v2-keyed", "v2-tables"])
def test_golden_data_is_recorded_as_it_was(name, tmp_path):
    golden = Manifest.load(VECTORS / f"{name}.json")
    records = Records(leaves=tmp_path, sets=name == "v2")
    key = KEY if name == "v2-keyed" else None
    made = provenance.record(
        VECTORS / DATA.get(name, "data"), description=golden.description, derived_from=golden.derived_from, records=records, leaf_key=key
    )
    assert made.to_bytes() == golden.to_bytes()
    wanted = {path.name: path.read_bytes() for path in golden.leaves.glob("*.leaves")}
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.leaves")} == wanted
    assert len(wanted) == len({file.records.leaves for file in golden.files if file.records})

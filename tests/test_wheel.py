# SPDX-License-Identifier: Apache-2.0
"""The wheel alone, in an empty environment: what a user gets."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT], check=True, stdout=subprocess.DEVNULL)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Run a program of the new environment in an empty folder; gives back the finished process."""
    environment = tmp_path_factory.mktemp("wheel") / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = [environment / "bin" / "python", "-m", "pip", "-qq", "install", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True)
    folder = tmp_path_factory.mktemp("work")

    def run(program, *args):
        return subprocess.run([environment / "bin" / program, *args], cwd=folder, capture_output=True, text=True, check=False)

    run.folder = folder
    return run


@pytest.fixture
def model(run):
    folder = run.folder / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"hidden_size": 4}\n')
    header = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    header += b" " * (-len(header) % 8)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    return folder


def expect(code, done):
    assert done.returncode == code, done.stdout + done.stderr


def test_holds_the_package_its_data_and_its_types_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"lifeseal/py.typed", "lifeseal/principles/provisions.json", "lifeseal/principles/coverage.json"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lifeseal"}


def test_imports_every_package_without_any_extra(run):
    packages = [f"lifeseal.{path.parent.name}" for path in sorted((ROOT / "src" / "lifeseal").glob("[a-z]*/__init__.py"))]
    done = run("python", "-c", f"import lifeseal, {', '.join(packages)}; print(lifeseal.__file__)")
    expect(0, done)
    assert "site-packages" in done.stdout


def test_signs_verifies_and_scans(run, model):
    expect(0, run("lifeseal", "keygen", "--out", "k"))
    expect(0, run("lifeseal", "sign", "model", "--key", "k.key"))
    expect(0, run("lifeseal", "verify", "model", "--key", "k.pub"))
    expect(0, run("lifeseal", "scan", "model"))

    (model / "config.json").write_text('{"hidden_size": 5}\n')
    done = run("lifeseal", "verify", "model", "--key", "k.pub")
    expect(1, done)
    assert "config.json" in done.stdout + done.stderr

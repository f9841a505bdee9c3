"""What the README promises a newcomer is what the newcomer gets."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: What differs from one run to the next, in the order of trying.
VARYING = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"\d\d:\d\d:\d\d\.\d{3}", "<time>"),
    (r"\d:\d\d:\d\d in all", "<duration> in all"),
    (r"after \d+\.\d s", "after <seconds>"),
    (r"\d+ accepted; then", "<count> accepted; then"),
)


def levelled(text: str) -> list[str]:
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return [line for line in text.splitlines() if line.strip()]


def test_the_readme_shows_what_the_demonstration_prints():
    readme = (ROOT / "README.md").read_text()
    shown = levelled(re.findall(r"```text\n(.*?)```", readme, re.DOTALL)[0])
    done = subprocess.run(
        [sys.executable, ROOT / "deploy" / "demo.py"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = iter(levelled(done.stdout))
    for line in shown:
        if line.strip() != "...":
            assert any(line == other for other in printed), f"not printed, or not in this order: {line}"


def test_the_readme_names_commands_and_pages_that_exist():
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"make ([a-z]+)", readme))
    assert {"demo", "test", "run"} <= commands
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
    for target in re.findall(r"\]\(([^)#]+)\)", readme):
        assert (ROOT / target).exists(), target

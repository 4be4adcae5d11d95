"""Refuse words that do not belong in everyday technical text; .ci/words lists them.

plain_english.py [PATH ...]: check all tracked files, or those below PATH. Prints FILE:LINE and the
word for each hit, and exits with 1 if there are any.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("words")

# Text that is quoted as it is.
SKIPPED = {LIST, ROOT / "LICENSE"}
SKIPPED_NAMES = {"package-lock.json"}
# Licences of others, and captures, which are no text.
SKIPPED_SUFFIXES = {".LICENSE", ".btsnoop", ".pcap", ".pcapng", ".pklg"}
INLINE_CODE = re.compile("`[^`]*`")


def rules() -> list[tuple[re.Pattern[str], str]]:
    """Return the list: what is refused, and the advice."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [
        (re.compile(f"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", re.IGNORECASE), advice)
        for pattern, advice in rows
    ]


def tracked(paths: list[str]) -> list[Path] | None:
    """Return the tracked files below ``paths``; None without git, as in an unpacked archive."""
    command = ("git", "ls-files", "-z", "--", *paths)
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [ROOT / name for name in done.stdout.split("\0") if name]


def main() -> int:
    """Print every hit; return the exit code."""
    files = tracked(sys.argv[1:])
    if files is None:
        sys.stdout.write("Plain English was not checked: this is not a git checkout.\n")
        return 0
    hits = 0
    refused = rules()
    for file in files:
        if file in SKIPPED or file.name in SKIPPED_NAMES or not file.is_file():
            continue
        if file.suffix in SKIPPED_SUFFIXES:
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if file.suffix == ".md":
                line = INLINE_CODE.sub("", line)
            for pattern, advice in refused:
                for match in pattern.finditer(line):
                    hits += 1
                    place = f"{file.relative_to(ROOT)}:{number}"
                    sys.stdout.write(f"{place}: {match.group()!r}: write {advice}\n")
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())

"""Draw docs/live-table.svg: what `healthd demo` really shows on a terminal (`make picture`)."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from html import escape, unescape
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "live-table.svg"
COLUMNS, ROWS = 104, 40

# One strap appears after 3 s and another one drops its link after 5 s. By then all of them have
# streamed long enough to have a trend.
SECONDS = 25

# rich erases the table line by line before it draws the next one.
_ERASED = re.compile(r"(?:\r?\x1b\[(?:1A|2K))+")

# GitHub shows a picture without the fonts that it links to, so it names none.
_SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def recorded() -> str:
    """Run the demo on a terminal of its own; return everything that it wrote there."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    command = (sys.executable, "-m", "healthd", "demo", "--seconds", str(SECONDS))
    environ = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    with subprocess.Popen(command, stdout=its, stderr=its, stdin=its, cwd=ROOT, env=environ):
        os.close(its)
        output = bytearray()
        try:
            while data := os.read(ours, 65536):
                output += data
        except OSError:  # the demo has ended
            pass
    os.close(ours)
    return output.decode()


def table(output: str) -> str:
    """Return the last table in which every strap streams and one has lost its link before."""
    for frame in reversed(_ERASED.split(output)):
        _, title, rest = frame.replace("\r\n", "\n").partition("\x1b[3mhealthd demo")
        if rest.count("streaming") == 3 and "link_lost" in rest:
            return title + rest
    raise SystemExit("no table in which all three straps stream, one of them again")


def placed(svg: str) -> str:
    """Return the picture with each word in its own place: not every viewer keeps spaces."""

    def words(text: re.Match[str]) -> str:
        style, x, y, length, content = text.groups()
        line = unescape(content).replace("\xa0", " ")
        wide = float(length) / len(line)
        return "".join(
            f'<text class="{style}" x="{float(x) + word.start() * wide:.1f}" y="{y}"'
            f' textLength="{len(word.group()) * wide:.1f}">{escape(word.group())}</text>\n'
            for word in re.finditer(r"\S+", line)
        )

    return re.sub(
        r'<text class="(\S+)" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>([^<]*)</text>',
        words,
        svg,
    )


def main() -> None:
    """Write the picture."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(table(recorded())), no_wrap=True)
    svg = console.export_svg(
        title="make demo", theme=DIMMED_MONOKAI, code_format=_SVG, unique_id="healthd"
    )
    PICTURE.write_text(placed(svg))


if __name__ == "__main__":
    main()

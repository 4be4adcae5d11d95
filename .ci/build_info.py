"""Write the commit of a wheel or source archive into it; see healthd/host/build.py."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildInfo(BuildHookInterface[Any]):
    """The build hook; hatchling finds it by its base class."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file if the commit is known."""
        # An editable install asks git for the commit when it is needed.
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from healthd.host.build import FILE, of_tree

        # Without git the commit is unknown, unless a source archive contains it.
        build = of_tree(Path(self.root), os.environ)
        if build is not None:
            self._folder = TemporaryDirectory()
            file = Path(self._folder.name, FILE.name)
            file.write_text(build.text(), encoding="utf-8")
            build_data["force_include"][str(file)] = str(FILE.relative_to(self.root))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary file."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()

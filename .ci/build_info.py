"""Write the commit of a wheel or source archive into it; see healthd/host/build.py."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildInfo(BuildHookInterface[Any]):
    """hatchling's hook; it finds it by its base."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file, where there is anything to tell."""
        # A source tree that is installed as it is, is asked for its commit when somebody wants it.
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from healthd.host.build import FILE, of_tree

        # Without git there is none, or the one that a source archive has brought along.
        build = of_tree(Path(self.root), os.environ)
        if build is not None:
            self._folder = TemporaryDirectory()
            file = Path(self._folder.name, FILE.name)
            file.write_text(build.text(), encoding="utf-8")
            build_data["force_include"][str(file)] = str(FILE.relative_to(self.root))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Tidy up."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()

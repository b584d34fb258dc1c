"""The frontend's build: variables go into the page, and a missing one fails the build.

python -m pantheon_runbook.sandbox.pantheon.frontend.build FOLDER
"""

from __future__ import annotations

import html
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

TEMPLATE = Path(__file__).with_name("template") / "index.html"
NEEDED = ("NEXT_PUBLIC_API_URL", "NEXT_PUBLIC_SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_ANON_KEY")


def build(variables: Mapping[str, str], folder: Path) -> None:
    """Write index.html and config.json; only public variables reach the page. Ends the build when one is missing."""
    if missing := [name for name in NEEDED if not variables.get(name)]:
        sys.exit(f"build failed: these variables are not set: {', '.join(missing)}")
    public = {name: value for name, value in sorted(variables.items()) if name.startswith("NEXT_PUBLIC_")}
    folder.mkdir(parents=True, exist_ok=True)
    page = Template(TEMPLATE.read_text()).substitute({name: html.escape(value) for name, value in public.items()})
    (folder / "index.html").write_text(page)
    (folder / "config.json").write_text(json.dumps(public, indent=1))


if __name__ == "__main__":
    build(os.environ, Path(sys.argv[1]))

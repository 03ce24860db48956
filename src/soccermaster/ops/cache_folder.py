"""Where things are kept that can be computed again: indexes, embeddings of texts."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$SOCCERMASTER_CACHE, or soccermaster in the user's cache folder."""
    own = os.environ.get("SOCCERMASTER_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "soccermaster"

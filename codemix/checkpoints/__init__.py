"""Checkpoints: Orbax saves and restores; codemix checks that they are whole.

A stage's folder has `checkpoints/<step>/`, written by Orbax, and beside each a
`<step>.digest.json` with the size and sha256 of every file in it, written after
the save is committed. A checkpoint without a digest file is incomplete, one
that does not match it is damaged. `position` also has a digest of each array,
which is compared when it is restored. Orbax alone can read `checkpoints/<step>/state`
as NumPy arrays.
"""

from codemix.checkpoints.manager import Checkpoints
from codemix.checkpoints.seal import damage, sealed_digest

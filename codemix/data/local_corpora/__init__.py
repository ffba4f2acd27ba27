"""Two corpora made from the Python installation itself: `local_code` and `local_text`."""

from codemix.data.local_corpora.build import CODE, TEXT, build_local_corpora
from codemix.data.local_corpora.split import Extent
from codemix.data.local_corpora.store import (
    LocalCorpora,
    LocalSplit,
    open_local_corpora,
    verify_corpora,
)

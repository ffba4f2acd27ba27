"""All that codemix reads and writes below its folders goes through here, on a disk or in a bucket.

Files are whole or absent, folders have one owner. Orbax writes checkpoints by itself. Raw files of corpora may be of any file system
of fsspec (`codemix.data.raw.storage`).
"""

from codemix.storage.folders import make_folder, require_writable, writing
from codemix.storage.holder import Holder
from codemix.storage.json_forms import FileName, is_file_name, read_json, require_form
from codemix.storage.locks import holder, locked, require_unlocked
from codemix.storage.paths import absolute, as_path, child, is_remote, local_path
from codemix.storage.whole import (
    local_copy,
    move,
  put_folder,
    remove,
    sync,
    write_bytes,
    write_json,
    write_text,
)

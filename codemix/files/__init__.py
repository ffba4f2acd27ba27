"""All that codemix writes below its folders goes through here: files are whole or absent, folders have one owner.

Another kind of storage would be put behind these functions. Orbax writes checkpoints by itself.
"""

from codemix.files.folders import make_folder, require_writable, writing
from codemix.files.json_forms import FileName, is_file_name, read_json, require_form
from codemix.files.locks import locked, require_unlocked
from codemix.files.whole import remove, sync, write_bytes, write_json, write_text

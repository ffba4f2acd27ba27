"""The former name of `codemix.data.seqio.tasks`, for gin files that bind Data.task_modules to it."""

import warnings

from codemix.data.seqio.tasks import *  # noqa: F403

warnings.warn('codemix.data.tasks is now codemix.data.seqio.tasks: write the new name in Data.task_modules.', FutureWarning, stacklevel=2)

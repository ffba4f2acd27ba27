"""`codemix train`: a study of one recipe, by the name that users of T5X look for."""

from codemix.commands.study import add_arguments, run

__all__ = ['add_arguments', 'run']

"""Packaging that pyproject.toml cannot say: the top-level gin folder ships inside the package."""

from setuptools import find_packages, setup

setup(
  packages=[*find_packages(include=['codemix', 'codemix.*']), 'codemix.gin_files'],
  package_dir={'codemix.gin_files': 'gin'},
  package_data={
    'codemix.gin_files': ['*/*.gin'],
    'codemix.launch': ['*.sh'],
    'codemix.report': ['*.jinja', '*.css', '*.js'],
  },
)

"""To and from the folders of Hugging Face transformers: `codemix export` and `codemix import`.

The formats are those of transformers 4 and 5, neither of which is imported here.
"""

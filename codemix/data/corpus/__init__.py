"""Sources in the form in which people have them, as records of one shape.

    raw files --Reader--> rows --RowParser--> Record --filters--> what `prepare` and SeqIO tasks tokenize

A `Corpus` (corpus.py) says it for one source. SlimPajama and StarCoderData, for example:

    Corpus({'train': 'train/chunk*/*.jsonl.zst', 'validation': 'validation/chunk*/*.jsonl.zst'},
           layout=Text(source='meta.redpajama_set_name', constants={'language': 'en'}))
    Corpus({'train': 'python/*.parquet'}, Parquet(columns=('content', 'id', 'max_stars_repo_name')),
           Text('content', source='max_stars_repo_name', id='id', constants={'language': 'python'}),
           validation_share=0.001)

Nothing is imported here, so that a record can be named without the libraries that read files.
"""

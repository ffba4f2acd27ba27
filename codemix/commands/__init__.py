"""One module per verb of the `codemix` command; imported only when the verb is asked for."""

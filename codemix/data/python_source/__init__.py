"""Python source as text: its tokens, what of it is documentation, and whether it parses."""

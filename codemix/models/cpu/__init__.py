"""What only CPUs need: the layout of matmul inputs, blocks that fit a cache, and glibc's heap."""

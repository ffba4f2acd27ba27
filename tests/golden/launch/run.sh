#!/bin/bash
# Written by `codemix launch`: what each process of the run runs.
set -eu
cd "${CODEMIX_FOLDER:-$(mktemp -d)}"
mkdir -p 'my runs'
cat > 'my runs/it'"'"'s $(touch hacked).gin' <<'END_OF_FILE_'
# `touch hacked` $HOME
END_OF_FILE
Recipe.seed = 1
END_OF_FILE_
cat > plain.gin <<'END_OF_FILE'
include 'recipes/balanced_to_text.gin'
END_OF_FILE
export LIBTPU_INIT_ARGS='--xla_enable_async_all_gather=true --xla_tpu_enable_async_collective_fusion=true --xla_tpu_enable_async_collective_fusion_fuse_all_gather=true --xla_tpu_enable_async_collective_fusion_multiple_steps=true --xla_tpu_overlap_compute_collective_tc=true --xla_tpu_enable_data_parallel_all_reduce_opt=true --xla_tpu_data_parallel_opt_different_sized_ops=true'
exec python3 -m codemix study --gin_file=plain.gin '--gin_file=my runs/it'"'"'s $(touch hacked).gin' '--gin.Study.note='"'"'$(touch hacked) `touch hacked` "; touch hacked; # $HOME {x} %h'"'"'' '--gin.Study.name='"'"'a\'"'"'b'"'"''

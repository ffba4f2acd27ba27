"""A small made-up program in the TPU compiler's notation: a loop of four, its collectives cut in pieces.

Eight devices: `[4,2]`, that is data 4 x fsdp 2.
"""

TEXT = """\
HloModule jit_step, is_scheduled=true, entry_computation_layout={(f32[64,8]{1,0:T(8,128)})->f32[]}, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%piece.1 (p.0: bf16[4,16,8], p.1: s32[]) -> bf16[1,32,8] {
  %p.0 = bf16[4,16,8]{2,1,0:T(8,128)(2,1)} parameter(0)
  %p.1 = s32[]{:T(128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %layer = bf16[1,16,8]{2,1,0:T(8,128)(2,1)} dynamic-slice(%p.0, %p.1, %zero, %zero), dynamic_slice_sizes={1,16,8}
  ROOT %gathered = bf16[1,32,8]{2,1,0:T(8,128)(2,1)S(1)} all-gather(%layer), channel_id=7, replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_1'}, dimensions={1}, use_global_device_ids=true
}

%piece.2 (p.2: bf16[4,16,8], p.3: s32[]) -> bf16[1,32,8] {
  %p.2 = bf16[4,16,8]{2,1,0:T(8,128)(2,1)} parameter(0)
  %p.3 = s32[]{:T(128)} parameter(1)
  %zero.2 = s32[]{:T(128)} constant(0)
  %layer.2 = bf16[1,16,8]{2,1,0:T(8,128)(2,1)} dynamic-slice(%p.2, %p.3, %zero.2, %zero.2), dynamic_slice_sizes={1,16,8}
  ROOT %gathered.2 = bf16[1,32,8]{2,1,0:T(8,128)(2,1)S(1)} all-gather(%layer.2), channel_id=7, replica_groups=mesh['axis_0'=4,'axis_1'=2] {'axis_1'}, dimensions={1}, use_global_device_ids=true
}

%all-reduce-scatter.clone (given: bf16[32,8]) -> bf16[16,8] {
  %given = bf16[32,8]{1,0:T(8,128)(2,1)} parameter(0)
  %whole = bf16[32,8]{1,0:T(8,128)(2,1)} all-reduce(%given), channel_id=9, replica_groups={{0,1},{2,3},{4,5},{6,7}}, use_global_device_ids=true, to_apply=%add
  %start = s32[]{:T(128)} constant(0)
  ROOT %kept = bf16[16,8]{1,0:T(8,128)(2,1)} dynamic-slice(%whole, %start, %start), dynamic_slice_sizes={16,8}
}

%body (state: (s32[], bf16[4,16,8], bf16[32,8], s32[])) -> (s32[], bf16[4,16,8], bf16[32,8], s32[]) {
  %state = (s32[]{:T(128)}, bf16[4,16,8]{2,1,0:T(8,128)(2,1)}, bf16[32,8]{1,0:T(8,128)(2,1)}, /*index=3*/s32[]{:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %weights = bf16[4,16,8]{2,1,0:T(8,128)(2,1)} get-tuple-element(%state), index=1
  %x = bf16[32,8]{1,0:T(8,128)(2,1)} get-tuple-element(%state), index=2
  %kernel = bf16[32,8]{1,0:T(8,128)(2,1)S(1)} custom-call(%x), custom_call_target="tpu_custom_call", frontend_attributes={kernel_metadata={
"block_q": 512
}}, metadata={op_name="jit(step)/kernel"}, backend_config={"custom_call_config": {"body": "{}"}}
  %n = s32[]{:T(128)} get-tuple-element(%state), index=3
  %w.1 = bf16[1,32,8]{2,1,0:T(8,128)(2,1)S(1)} fusion(%weights, %i), kind=kCustom, calls=%piece.1
  %w.2 = bf16[1,32,8]{2,1,0:T(8,128)(2,1)S(1)} fusion(%weights, %i), kind=kCustom, calls=%piece.2
  %share = bf16[16,8]{1,0:T(8,128)(2,1)S(1)} fusion(%x), kind=kCustom, calls=%all-reduce-scatter.clone
  %one = s32[]{:T(128)} constant(1)
  %next = s32[]{:T(128)} add(%i, %one)
  ROOT %out = (s32[]{:T(128)}, bf16[4,16,8]{2,1,0:T(8,128)(2,1)}, bf16[32,8]{1,0:T(8,128)(2,1)}, /*index=3*/s32[]{:T(128)}) tuple(%next, %weights, %x, %n)
}

%test (state.2: (s32[], bf16[4,16,8], bf16[32,8], s32[])) -> pred[] {
  %state.2 = (s32[]{:T(128)}, bf16[4,16,8]{2,1,0:T(8,128)(2,1)}, bf16[32,8]{1,0:T(8,128)(2,1)}, /*index=3*/s32[]{:T(128)}) parameter(0)
  %i.2 = s32[]{:T(128)} get-tuple-element(%state.2), index=0
  %n.2 = s32[]{:T(128)} get-tuple-element(%state.2), index=3
  ROOT %less = pred[]{:T(512)} compare(%i.2, %n.2), direction=LT
}

ENTRY %main (weights.0: bf16[4,16,8], x.0: bf16[32,8]) -> f32[] {
  %weights.0 = bf16[4,16,8]{2,1,0:T(8,128)(2,1)} parameter(0)
  %x.0 = bf16[32,8]{1,0:T(8,128)(2,1)} parameter(1)
  %begin = s32[]{:T(128)} constant(0)
  %four = s32[]{:T(128)} constant(4)
  %end = s32[]{:T(128)} copy(%four)
  %first = (s32[]{:T(128)}, bf16[4,16,8]{2,1,0:T(8,128)(2,1)}, bf16[32,8]{1,0:T(8,128)(2,1)}, /*index=3*/s32[]{:T(128)}) tuple(%begin, %weights.0, %x.0, %end)
  %loop = (s32[]{:T(128)}, bf16[4,16,8]{2,1,0:T(8,128)(2,1)}, bf16[32,8]{1,0:T(8,128)(2,1)}, /*index=3*/s32[]{:T(128)}) while(%first), condition=%test, body=%body
  %y = bf16[32,8]{1,0:T(8,128)(2,1)} get-tuple-element(%loop), index=2
  %square = f32[32,8]{1,0:T(8,128)} multiply(%y, %y)
  %norm = f32[32,8]{1,0:T(8,128)} all-reduce-start(%square), channel_id=11, replica_groups=[2,4]<=[4,2]T(1,0), use_global_device_ids=true, to_apply=%add
  %norm.done = f32[32,8]{1,0:T(8,128)} all-reduce-done(%norm)
  %moved = f32[32,8]{1,0:T(8,128)} collective-permute(%norm.done), channel_id=12, source_target_pairs={{0,1},{1,0}}
  ROOT %result = f32[]{:T(128)} constant(0)
}
"""

# A slice of two, whose gradients are added to those of the other slices.
SLICE = """\
HloModule jit_step, is_scheduled=true, num_partitions=2

ENTRY %main (g.0: bf16[32,8]) -> bf16[32,8] {
  %g.0 = bf16[32,8]{1,0:T(8,128)(2,1)} parameter(0)
  %after = token[] after-all()
  %inside = bf16[32,8]{1,0:T(8,128)(2,1)} all-reduce(%g.0), channel_id=1, replica_groups={{0,1}}, use_global_device_ids=true, to_apply=%add
  %sent = (bf16[32,8]{1,0:T(8,128)(2,1)}, u32[], token[]) send(%inside, %after), channel_id=2, is_host_transfer=true, frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime",_xla_megascale_reduce_operation="SUM",_xla_megascale_transfer_type="ALL_REDUCE"}
  %got = (bf16[32,8]{1,0:T(8,128)(2,1)}, u32[], token[]) recv(%after), channel_id=3, is_host_transfer=true, frontend_attributes={_xla_megascale_transfer_type="ALL_REDUCE"}
  ROOT %result = bf16[32,8]{1,0:T(8,128)(2,1)} copy(%inside)
}
"""

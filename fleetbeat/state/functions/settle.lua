-- fb_settle shard fence count unchanged… {ref why}… → how many were settled
--
-- Ends a sweep for the refs that it still holds: `count` unchanged ones are due again at their interval, the others at once,
-- urgently where they were requested.
--
-- {S}:run {S}:lease {S}:inflight {S}:held {S}:sweeps {S}:due:<cluster> {S}:front {S}:why {S}:meta   see schedule.lua

verb('settle', function(args)
  local shard, fence, count = args[1], args[2], tonumber(args[3])
  local now, settled = now_ms(), 0
  for i = 4, 3 + count do
    local _, meta = leave_sweep(shard, args[i], fence)
    if meta then
      arm(shard, meta.cluster, args[i], interval(meta, now))
      settled = settled + 1
    end
  end
  for i = 4 + count, #args, 2 do
    local run, meta = leave_sweep(shard, args[i], fence)
    if meta then
      note_why(shard, args[i], args[i + 1] ~= '' and args[i + 1] or 'poked')
      arm(shard, meta.cluster, args[i], run.why ~= '' and now - URGENT or now)
      settled = settled + 1
    end
  end
  return settled
end)

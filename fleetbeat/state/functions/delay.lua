-- fb_delay shard fence ms ref… → how many were delayed
--
-- Gives back refs that a sweep still holds and did not look at: each is due in `ms`, as it was, so that another sweep meets it.
--
-- {S}:run {S}:lease {S}:inflight {S}:held {S}:sweeps {S}:due:<cluster> {S}:front {S}:meta   see schedule.lua

verb('delay', function(args)
  local shard, fence, at = args[1], args[2], now_ms() + tonumber(args[3])
  local delayed = 0
  for i = 4, #args do
    local run, meta = leave_sweep(shard, args[i], fence)
    if meta then
      note_why(shard, args[i], run.why)
      arm(shard, meta.cluster, args[i], at)
      delayed = delayed + 1
    end
  end
  return delayed
end)

-- fb_answer shard fence {ref status count event… count dependent…}… → how many were answered
--
-- Ends a sweep for refs that it still holds, that were requested or whose source has a new artifact, and that a run would
-- leave as they are: each gets the status and the events of such a run, and is due again at its interval. Dependents are poked
-- in the same step: a worker that dies here has told all of them or none.
--
-- {S}:run {S}:lease {S}:inflight {S}:held {S}:sweeps {S}:due:<cluster> {S}:front {S}:asking {S}:meta   see schedule.lua
-- {S}:status fb:changed fb:seq fb:report fb:events   see result.lua

local function answer(shard, ref, fence, status, now)
  local run, meta = leave_sweep(shard, ref, fence)
  if not meta then return false end
  if meta.uid ~= run.uid then  -- deleted and made anew meanwhile: what was found belongs to the old one
    rearm_lost(shard, ref, run, now, '')
    return false
  end
  write_status(shard, ref, status)
  arm(shard, meta.cluster, ref, interval(meta, now))
  return true
end

verb('answer', function(args)
  local shard, fence = args[1], args[2]
  local now, answered, i = now_ms(), 0, 3
  while i <= #args do
    local ref, events = args[i], i + 2 + tonumber(args[i + 2])
    local last = events + 1 + tonumber(args[events + 1])
    if answer(shard, ref, fence, args[i + 1], now) then
      emit(args, i + 3, events)
      for j = events + 2, last do poke_one(args[j], 'dependency ' .. ref .. ' is ready', true, now, now) end
      answered = answered + 1
    end
    i = last + 1
  end
  if answered > 0 then nudge_reporter() end
  return answered
end)

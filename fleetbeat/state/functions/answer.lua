-- fb_answer shard fence {ref shares next_ms has_status status has_memo memo count event… why count dependent…}… → how many were answered
--
-- Ends a sweep for refs that it still holds and did for them all that a run would: each gets the status, the memo and the events
-- of such a run, and is due again in `next_ms`, at its interval when that is negative. Dependents are poked with `why` in the same
-- step: a worker that dies here has told all of them or none. A ref that waits on after an object's health moved meanwhile is due
-- when that poke said; one that waits no more has heard all there is.
--
-- {S}:run {S}:lease {S}:inflight {S}:held {S}:sweeps {S}:due:<cluster> {S}:front {S}:asking {S}:meta   see schedule.lua
-- {S}:status {S}:memo fb:changed fb:seq fb:report fb:events   see result.lua

-- Where the parts of one ref begin, and where the next one does.
local function row(args, i)
  local events = i + 8
  local why = events + tonumber(args[i + 7])
  return {
    ref = args[i], shares = args[i + 1], next_ms = tonumber(args[i + 2]), status = args[i + 3] == '1' and args[i + 4],
    memo = args[i + 5] == '1' and args[i + 6], events = events, why = why, after = why + 2 + tonumber(args[why + 1]),
  }
end

local function answer(shard, fence, row, now)
  local ref = row.ref
  local run, meta = leave_sweep(shard, ref, fence)
  if not meta then return false end
  if meta.uid ~= run.uid then  -- deleted and made anew meanwhile: what was found belongs to the old one
    rearm_lost(shard, ref, run, now, '')
    return false
  end
  if row.status then write_status(shard, ref, row.status) end
  if row.memo then write_value(shard, 'memo', ref, row.memo) end
  save_shares(shard, ref, meta, row.shares)
  local at = row.next_ms >= 0 and now + row.next_ms or interval(meta, now)
  arm(shard, meta.cluster, ref, row.shares == 'h' and math.min(run.dirty or at, at) or at)
  return true
end

verb('answer', function(args)
  local shard, fence = args[1], args[2]
  local now, answered, i = now_ms(), 0, 3
  while i <= #args do
    local row = row(args, i)
    if answer(shard, fence, row, now) then
      emit(args, row.events, row.why - 1)
      for j = row.why + 2, row.after - 1 do poke_one(args[j], args[row.why], true, now, now) end
      answered = answered + 1
    end
    i = row.after
  end
  if answered > 0 then nudge_reporter() end
  return answered
end)

-- fb_finish shard ref fence next_ms shares has_status status has_memo memo target why event… → {stale, dirty or idle; rest}
--
-- `why`, unless empty, is the reason for which whoever refers to `target` is poked, in the same step as the status is written: a
-- worker that dies here has told all of them or none. `rest` is 1 when there were too many for one step: fb_poke_dependents does it.
--
-- Writes what the run found, unless it is superseded, and arms the next one: in `next_ms` from now, at the interval when it is
-- negative, earlier when the ref was poked meanwhile. An empty status or memo removes the stored one.
--
-- {S}:run {S}:lease {S}:inflight {S}:held {S}:due:<cluster> {S}:front   see schedule.lua
-- {S}:meta                       the flags `l`, `w` and `h`
-- {S}:status {S}:memo fb:changed fb:seq fb:report fb:events   see result.lua
-- fb:index:<target>              who refers to it

local AT_ONCE = 500  -- dependents that are poked in one step

-- Returns whether that was too much for one step.
local function announce(target, why)
  if why == '' then return 0 end
  local dependents, now = redis.call('SMEMBERS', 'fb:index:' .. target), now_ms()
  if #dependents > AT_ONCE then return 1 end
  for _, dependent in ipairs(dependents) do poke_one(dependent, why, true, now, now) end
  return 0
end

local function arm_next(shard, ref, run, meta, next_ms)
  if meta.lags and not run.dirty then
    meta.lags = false
    write_meta(shard, ref, meta)
  end
  if not may_run(meta) then
    redis.call('HDEL', key(shard, 'why'), ref)
    return 'idle'
  end
  local now = now_ms()
  local at = next_ms >= 0 and now + next_ms or interval(meta, now)
  arm(shard, meta.cluster, ref, math.min(run.dirty or at, at))
  return run.dirty and 'dirty' or 'idle'
end

verb('finish', function(args)
  local shard, ref = args[1], args[2]
  local run = run_of(shard, ref)
  if not run or run.fence ~= args[3] or run.phase ~= 'running' then return {'stale', 0} end
  release(shard, ref, run)
  local meta = meta_of(shard, ref)
  if not meta then return {'stale', 0} end
  if meta.uid ~= run.uid then  -- deleted and made anew meanwhile: what was found belongs to the old one
    rearm_lost(shard, ref, run, now_ms(), '')
    return {'stale', 0}
  end
  local changed = args[6] == '1' and write_status(shard, ref, args[7])
  if args[8] == '1' then write_value(shard, 'memo', ref, args[9]) end
  if emit(args, 12, #args) or changed then nudge_reporter() end
  save_shares(shard, ref, meta, args[5])
  local ended = arm_next(shard, ref, run, meta, tonumber(args[4]))
  return {ended, announce(args[10], args[11])}
end)

-- fb_emit event…   events that belong to no run; answers while rebuilding.
always('emit', function(args)
  if emit(args, 1, #args) then nudge_reporter() end
end)

-- fb_finish shard ref fence next_ms sweepable has_status status has_memo memo event… → stale, dirty or idle
--
-- Writes what the run found, unless it is superseded, and arms the next one: in `next_ms` from now, at the interval when it is
-- negative, earlier when the ref was poked meanwhile. An empty status or memo removes the stored one.
--
-- {S}:run {S}:lease {S}:inflight {S}:held {S}:due:<cluster> {S}:front   see schedule.lua
-- {S}:meta {S}:status {S}:memo   written
-- fb:changed fb:seq fb:report    a status that differs is marked for the reporter
-- fb:events                      capped stream

local EVENTS = 10000

-- True when the stored value differs from `value` and was replaced.
local function store(shard, what, ref, value)
  local name = key(shard, what)
  if (redis.call('HGET', name, ref) or '') == value then return false end
  if value == '' then redis.call('HDEL', name, ref) else redis.call('HSET', name, ref, value) end
  return true
end

local function emit(events, from)
  for i = from, #events do
    redis.call('XADD', 'fb:events', 'MAXLEN', '~', EVENTS, '*', 'e', events[i])
  end
  return #events >= from
end

local function arm_next(shard, ref, run, meta, next_ms)
  if not runnable(meta) then
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
  if not run or run.fence ~= args[3] or run.phase ~= 'running' then return 'stale' end
  release(shard, ref, run)
  local meta = meta_of(shard, ref)
  if not meta then return 'stale' end
  if meta.uid ~= run.uid then  -- deleted and made anew meanwhile: what was found belongs to the old one
    rearm_lost(shard, ref, run, now_ms(), '')
    return 'stale'
  end
  local changed = args[6] == '1' and store(shard, 'status', ref, args[7])
  if changed then redis.call('ZADD', 'fb:changed', redis.call('INCR', 'fb:seq'), shard .. ' ' .. ref) end
  if args[8] == '1' then store(shard, 'memo', ref, args[9]) end
  if emit(args, 10) or changed then nudge_reporter() end
  local sweepable = args[5] == '1'
  if meta.sweepable ~= sweepable then
    meta.sweepable = sweepable
    write_meta(shard, ref, meta)
  end
  return arm_next(shard, ref, run, meta, tonumber(args[4]))
end)

-- fb_emit event…   events that belong to no run; answers while rebuilding.
always('emit', function(args)
  if emit(args, 1) then nudge_reporter() end
end)

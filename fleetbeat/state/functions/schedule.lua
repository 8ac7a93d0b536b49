-- The due-set and its bookkeeping.
--
-- {S}:due:<cluster>  zset   ref → score: the ms when it is due; less URGENT when it is due now and urgent, so that it comes first
-- {S}:front          zset   cluster → score of its first due ref; a held cluster is not in it
-- {S}:held           set    clusters at their cap, and `*` when the lane is; the next run that ends there wakes beat
-- {S}:run, {S}:lease        the live runs
-- {S}:inflight       hash   cluster → live messages; `*` → those of the shard. A sweep is one message
-- {S}:sweeps         hash   fence of a sweep → its refs that are not settled yet
-- {S}:poked          hash   ref of a source → ms of its last poke that no run was handed out for
-- {S}:asking         hash   cluster → its live sweeps of requested refs
-- {S}:asked:<cluster>  set  requested refs that were put off until those end; a hint: each is due by itself soon after
-- {S}:pause:<why>:<cluster>  string  there, until it expires, while refs of the cluster with that reason gather for the next sweep
--
-- Requests trickle in, one for each resource of a cluster. The first is swept at once; those that come meanwhile are put off
-- (claim.lua) and brought forward together some time after that sweep's end: a multiple of its length, so that looking at a
-- cluster's objects, for however few refs, never takes more than a part of the time. Being put off only moves the due time by
-- a second or less and takes the urgency, and no ref ever depends on `asked`. A sweep counts as live for five seconds at most:
-- so long are requests put off for one that is dead, and one that takes longer is joined by another.
--
-- Refs that wait for health gather likewise while a look at others is under way, for a quarter of a second at least, and where that
-- look takes long, until half a second after its end at most. A look counts as live for two seconds.

local URGENT = 1e13
local PAUSE = 5  -- times the length of a sweep of requests that passes before the next one
local LONGEST_PAUSE = 1000  -- ms
local REQUESTED = 'requested'  -- the whole reason of a ref that was only asked to run by its annotation
local HEALTH = 'health'  -- the whole reason of a ref that only looks whether its objects are healthy by now
local LOOKS_APART = 250  -- ms from one look at those that wait for health to the next at least
local LONGEST_LOOKS = 500  -- ms that such a pause goes on at most after that look

-- Whether every reason is that the health of an object moved.
local function is_health(why)
  for reason in (why .. ', '):gmatch('(.-), ') do
    if reason:sub(1, 8) ~= 'health: ' then return false end
  end
  return true
end

-- Whether the whole reason is one source's new artifact.
local function is_artifact(why) return why:find('^artifact [^%s,:]+$') ~= nil end

local function refresh_front(shard, cluster)
  if redis.call('SISMEMBER', key(shard, 'held'), cluster) == 1 then return end
  local first = redis.call('ZRANGE', key(shard, 'due:' .. cluster), 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', key(shard, 'front'), first[2], cluster)
  else
    redis.call('ZREM', key(shard, 'front'), cluster)
  end
end

-- Make `ref` due at `score`, or leave it due earlier. Wakes beat when that is news to it.
local function arm(shard, cluster, ref, score)
  local due = key(shard, 'due:' .. cluster)
  redis.call('ZADD', due, 'LT', score, ref)
  if redis.call('SISMEMBER', key(shard, 'held'), cluster) == 1 then return end
  local front = redis.call('ZSCORE', key(shard, 'front'), cluster)
  if not front or tonumber(front) > score then
    redis.call('ZADD', key(shard, 'front'), score, cluster)
    wake()
  end
end

local function disarm(shard, cluster, ref)
  redis.call('ZREM', key(shard, 'due:' .. cluster), ref)
  refresh_front(shard, cluster)
end

local function note_why(shard, ref, why)
  if why == '' then return end
  local name = key(shard, 'why')
  redis.call('HSET', name, ref, join_why(redis.call('HGET', name, ref), why))
  if looks(shard) then redis.call('HSET', key(shard, 'poked'), ref, int(now_ms())) end
end

-- ms for which refs with that reason still gather; 0 or less when they need not.
local function pause_of(shard, why, cluster) return redis.call('PTTL', key(shard, 'pause:' .. why .. ':' .. cluster)) end

-- They gather for so long from now on, or as long as they do already.
local function begin_pause(shard, why, cluster, ms)
  if ms > math.max(0, pause_of(shard, why, cluster)) then
    redis.call('SET', key(shard, 'pause:' .. why .. ':' .. cluster), '1', 'PX', int(ms))
  end
end

-- The pause that lasts while a sweep of refs with that reason lives.
local function live(why) return 'live ' .. why end

local function end_pause(shard, why, cluster) redis.call('DEL', key(shard, 'pause:' .. why .. ':' .. cluster)) end

-- How long ago a message was handed out; its fence is that time in µs, or a little more.
local function age(fence, now) return math.max(0, now - math.floor(tonumber(fence) / 1000)) end

-- The end of a sweep of requested refs: what was put off meanwhile, and still waits for nothing else, is due after a pause.
local function end_asking(shard, cluster, fence)
  local asking, asked = key(shard, 'asking'), key(shard, 'asked:' .. cluster)
  if redis.call('HINCRBY', asking, cluster, -1) > 0 then return end
  redis.call('HDEL', asking, cluster)
  end_pause(shard, live(REQUESTED), cluster)
  local now = now_ms()
  local pause = math.min(PAUSE * age(fence, now), LONGEST_PAUSE)
  begin_pause(shard, REQUESTED, cluster, pause)
  for _, ref in ipairs(redis.call('SMEMBERS', asked)) do
    local waits = redis.call('HGET', key(shard, 'why'), ref) == REQUESTED
    if waits and redis.call('ZSCORE', key(shard, 'due:' .. cluster), ref) then arm(shard, cluster, ref, now + pause) end
  end
  redis.call('DEL', asked)
end

-- The end of a look at those that wait for health.
local function end_look(shard, cluster, fence)
  end_pause(shard, live(HEALTH), cluster)
  local took = age(fence, now_ms())
  begin_pause(shard, HEALTH, cluster, math.max(LOOKS_APART - took, math.min(took, LONGEST_LOOKS)))
end

-- Forget a live run, and free its place when it was the last ref of its message.
local function release(shard, ref, run)
  redis.call('HDEL', key(shard, 'run'), ref)
  redis.call('ZREM', key(shard, 'lease'), ref)
  if run.phase == 'sweep' then
    if redis.call('HINCRBY', key(shard, 'sweeps'), run.fence, -1) > 0 then return end
    redis.call('HDEL', key(shard, 'sweeps'), run.fence)
    if run.why == REQUESTED then end_asking(shard, run.cluster, run.fence) end
    if run.why == HEALTH then end_look(shard, run.cluster, run.fence) end
  end
  local inflight, held = key(shard, 'inflight'), key(shard, 'held')
  for _, field in ipairs({run.cluster, '*'}) do
    if redis.call('HINCRBY', inflight, field, -1) <= 0 then redis.call('HDEL', inflight, field) end
  end
  if redis.call('SREM', held, '*') == 1 then wake() end
  if redis.call('SREM', held, run.cluster) == 1 then
    refresh_front(shard, run.cluster)
    wake()
  end
end

-- When a ref that may be swept is due again: a grid that all refs of the group share, so that one sweep meets all of them.
-- The grids of an interval and of its multiples coincide. Between 0.1 and 1.1 intervals from now.
local function on_grid(group, every, now)
  local phase = tonumber(redis.sha1hex(group):sub(1, 12), 16)
  local from = now + math.floor(every / 10)
  return from + (phase - from) % every
end

local function interval(meta, now)
  if meta.sweepable and not meta.deleting then
    return on_grid(meta.group ~= '' and meta.group or meta.cluster, meta.every, now)
  end
  return now + math.floor(meta.every * (0.95 + 0.1 * math.random()))
end

-- Ask for a run of a ref that may run. `at` is the ms from which it may; a delayed one is not urgent.
--   waiting            due at `at` or earlier
--   queued, at once    the message that is under way will do
--   swept              leaves the sweep, which only reads, and is due; a request that the sweep was to answer stays one.
--                      One that the sweep looks at for its health, and is poked for its health: dirty
--   running, or queued and to be delayed   dirty: due again when the run ends
local function ask(shard, ref, meta, why, urgent, at, now)
  local score = urgent and at <= now and at - URGENT or at
  local run = run_of(shard, ref)
  if run and run.phase == 'sweep' and run.why == HEALTH and is_health(why) then
    run.dirty = math.min(run.dirty or score, score)
    save_run(shard, ref, run)
    return 1
  end
  if run and run.phase == 'sweep' then
    release(shard, ref, run)
    if run.why ~= '' and run.why ~= HEALTH then
      note_why(shard, ref, run.why)
      score = math.min(score, now - URGENT)
    end
    run = nil
  end
  if run and run.phase == 'queued' and at <= now then
    run.why = join_why(run.why, why)
    run.nonce = int(now)
    save_run(shard, ref, run)
    return 1
  end
  note_why(shard, ref, why)
  if run then
    run.dirty = math.min(run.dirty or score, score)
    save_run(shard, ref, run)
  else
    arm(shard, meta.cluster, ref, score)
  end
  return 1
end

-- Ask for a run of a ref, unless it is unknown or suspended; see `ask`.
local function poke_one(ref, why, urgent, at, now)
  local shard = redis.call('HGET', 'fb:shard', ref)
  local meta = shard and meta_of(shard, ref)
  return runnable(meta) and ask(shard, ref, meta, why, urgent, at, now) or 0
end

-- Take a ref out of the sweep that holds it: its run, and its meta when it may run. Nothing when the sweep does not.
local function leave_sweep(shard, ref, fence)
  local run = run_of(shard, ref)
  if not run or run.phase ~= 'sweep' or run.fence ~= fence then return nil end
  release(shard, ref, run)
  local meta = meta_of(shard, ref)
  return run, runnable(meta) and meta or nil
end

-- What a live run leaves behind when it ends without finishing: due again, with its reasons. A request whose sweep was lost
-- gets a run of its own, so that a sweep that never comes to an end is not tried for ever.
local function rearm_lost(shard, ref, run, now, why)
  local meta = meta_of(shard, ref)
  if not may_run(meta) then return end
  if run.phase ~= 'sweep' or run.why ~= '' then note_why(shard, ref, join_why(run.why, why)) end
  arm(shard, meta.cluster, ref, math.min(run.dirty or now, now))
end

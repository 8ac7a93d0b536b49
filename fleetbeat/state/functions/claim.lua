-- fb_claims {shard limit lane_cap cluster_cap lease_ms sweep_size queue}…
--   → {{wait_ms, {ref, fence, why, urgent, …}, {cluster, fence, why, ref, …}, …}, …}, one for each shard
--
-- Reaps expired leases, then hands out due refs, cluster by cluster in the order of their first due ref, at most `limit` messages
-- and never more than the caps leave. Refs without a reason that may be swept share one message per cluster; so do, apart
-- from those, consumers that were only requested, and where there are many of them, those of one new artifact. While a sweep
-- of requests lives, and for a pause after it, further requests of its cluster are put off, so that they gather; see
-- schedule.lua for how long that may take. Those that only wait for health share looks likewise.
-- Urgent refs come first, but for a part of the room that now and then goes to those that are long overdue.
--
-- {S}:due:<cluster> {S}:front {S}:held {S}:run {S}:lease {S}:inflight {S}:sweeps {S}:asking {S}:asked:<cluster> {S}:pause:<why>:<cluster>   see schedule.lua
-- {S}:why {S}:poked {S}:meta   read; the reasons of what is handed out go along with it
-- {S}:fence   the last fence handed out
-- <queue>     the broker's list of this shard, only measured

local REAP = 1000
local PAGE = 500
local MIN_PAGE = 32
local SWEEP_LEASES = 4
local GATHERED = 8  -- from this many due consumers of one new artifact on, one look at all of them comes first
local STRETCH = 4  -- times its size that a sweep may have, lest a group is torn apart
local PUT_OFF = 1000  -- ms from one try to the next of a request that waits for the sweep that is under way
local LIVES = {[REQUESTED] = 5000, [HEALTH] = 2000}  -- ms for which a sweep counts as live: one that is dead costs others no more
local OVERDUE = 2000  -- ms after which refs that are due take a part of the room before urgent ones, and how often they may
local OVERDUE_PART = 4  -- of a cluster's room, one in so many
local IDLE_WAIT = 60000

local function reap(shard, now)
  local expired = redis.call('ZRANGEBYSCORE', key(shard, 'lease'), '-inf', now, 'LIMIT', 0, REAP)
  for _, ref in ipairs(expired) do
    local run = run_of(shard, ref)
    if run then
      release(shard, ref, run)
      rearm_lost(shard, ref, run, now, 'its run was lost')
    else
      redis.call('ZREM', key(shard, 'lease'), ref)
    end
  end
end

-- One claim's work: what is free, and what was taken.
local function new_batch(args)
  local shard = args[1]
  local lane_cap, queue = tonumber(args[3]), args[7]
  local busy = tonumber(redis.call('HGET', key(shard, 'inflight'), '*') or 0)
  local waiting = queue ~= '' and redis.call('LLEN', queue) or 0
  return {
    shard = shard, now = now_ms(), limit = tonumber(args[2]), free = lane_cap - math.max(busy, waiting),
    cluster_cap = tonumber(args[4]), lease = tonumber(args[5]), sweep_size = tonumber(args[6]),
    fence = next_fence(redis.call('GET', key(shard, 'fence'))) - 1, runs = {}, sweeps = {}, messages = 0,
  }
end

local function take_message(batch, room)
  batch.messages = batch.messages + 1
  batch.free = batch.free - 1
  batch.fence = batch.fence + 1
  room.left = room.left - 1
  room.taken = room.taken + 1
end

local function may_take(batch, room) return room.left > 0 and batch.free > 0 and batch.messages < batch.limit end

local function take_run(batch, out, room, cluster, ref, score, meta, why, poked)
  take_message(batch, room)
  local fence = int(batch.fence)
  local reply = batch.runs
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = ref, fence, why or '', score < 0 and '1' or '0'
  local asked = int(math.max(tonumber(poked) or 0, score))
  local run = {fence = fence, phase = 'queued', nonce = asked, uid = meta.uid, cluster = cluster, why = why or ''}
  table.insert(out.run, ref)
  table.insert(out.run, run_text(run))
  table.insert(out.lease, int(batch.now + batch.lease))
  table.insert(out.lease, ref)
  if why then table.insert(out.why, ref) end
end

-- Whether a ref begins another sweep: refs of one group come one after the other, and one look serves all of them.
local function is_full(batch, room, sweep, meta)
  local size = #sweep - 3
  if size < batch.sweep_size then return false end
  return meta.group == '' or meta.group ~= room.group or size >= STRETCH * batch.sweep_size
end

local function take_swept(batch, out, room, cluster, ref, meta, why, noted)
  local sweep = room.sweeps[why]
  if not sweep or is_full(batch, room, sweep, meta) then
    if not may_take(batch, room) then return false end
    take_message(batch, room)
    sweep = {cluster, int(batch.fence), why}
    room.sweeps[why] = sweep
    table.insert(batch.sweeps, sweep)
    if why == REQUESTED then room.asks = room.asks + 1 end
  end
  table.insert(sweep, ref)
  room.group = meta.group
  local run = {fence = sweep[2], phase = 'sweep', nonce = '', uid = meta.uid, cluster = cluster, why = why}
  table.insert(out.run, ref)
  table.insert(out.run, run_text(run))
  table.insert(out.lease, int(batch.now + (why == '' and SWEEP_LEASES or 1) * batch.lease))
  table.insert(out.lease, ref)
  if noted then table.insert(out.why, ref) end
  return true
end

-- Until the pause is over. The end of a live sweep of requests brings them forward, and is told of them by `asked`; who waits
-- for health tries again after each moment in which others may gather.
local function put_off(batch, out, room, ref, why)
  local pause = room.pauses[why]
  if why == HEALTH then
    pause = math.max(1, math.min(LOOKS_APART, math.max(pause, room.lives[why])))
  elseif pause <= 0 then
    pause = PUT_OFF
    table.insert(out.asked, ref)
  end
  table.insert(out.later, int(batch.now + pause))
  table.insert(out.later, ref)
end

-- The reason of the look that a ref may share with others; nil when it needs a run of its own.
local function gathers(shard, meta, why, crowds)
  if meta.deleting or meta.suspended then return nil end
  if meta.awaiting then return (not why or is_health(why)) and HEALTH or nil end
  if not meta.sweepable then return nil end
  if not why then return '' end
  return applies(shard) and (why == REQUESTED or (crowds[why] or 0) >= GATHERED) and why or nil
end

-- Whether it is to wait until more have gathered.
local function waits(room, why) return LIVES[why] and (room.pauses[why] > 0 or room.lives[why] > 0) end

-- How many of a page each new artifact woke.
local function crowds_of(whys)
  local crowds = {}
  for _, why in ipairs(whys) do
    if why and is_artifact(why) then crowds[why] = (crowds[why] or 0) + 1 end
  end
  return crowds
end

-- Take one due ref; false when there is no room for it.
local function take(batch, out, room, cluster, ref, score, meta, why, poked)
  if not may_run(meta) then
    table.insert(out.gone, ref)
    return true
  end
  local shared = gathers(batch.shard, meta, why, out.crowds)
  if shared then
    if waits(room, shared) then
      put_off(batch, out, room, ref, shared)
      return true
    end
    if not take_swept(batch, out, room, cluster, ref, meta, shared, why) then return false end
  elseif may_take(batch, room) then
    take_run(batch, out, room, cluster, ref, score, meta, why, poked)
  else
    return false
  end
  table.insert(out.gone, ref)
  return true
end

local function write_page(shard, cluster, out)
  bulk('ZREM', key(shard, 'due:' .. cluster), out.gone)
  bulk('ZADD', key(shard, 'due:' .. cluster), out.later)
  bulk('SADD', key(shard, 'asked:' .. cluster), out.asked)
  bulk('HSET', key(shard, 'run'), out.run)
  bulk('ZADD', key(shard, 'lease'), out.lease)
  bulk('HDEL', key(shard, 'why'), out.why)
  if looks(shard) then bulk('HDEL', key(shard, 'poked'), out.why) end
end

-- Take a page of a cluster's refs that were due between two times; true when all of it was taken, so that there may be more.
local function take_page(batch, room, cluster, from, to, want)
  local shard = batch.shard
  local page = redis.call('ZRANGEBYSCORE', key(shard, 'due:' .. cluster), from, to, 'WITHSCORES', 'LIMIT', 0, want)
  if #page == 0 then return false end
  local refs = {}
  for i = 1, #page, 2 do table.insert(refs, page[i]) end
  local metas = redis.call('HMGET', key(shard, 'meta'), unpack(refs))
  local whys = redis.call('HMGET', key(shard, 'why'), unpack(refs))
  local poked = looks(shard) and redis.call('HMGET', key(shard, 'poked'), unpack(refs)) or {}
  local out = {gone = {}, run = {}, lease = {}, why = {}, later = {}, asked = {}, crowds = crowds_of(whys)}
  local all = true
  for i, ref in ipairs(refs) do
    if not take(batch, out, room, cluster, ref, tonumber(page[2 * i]), read_meta(metas[i]), whys[i] or nil, poked[i]) then
      all = false
      break
    end
  end
  write_page(shard, cluster, out)
  return all
end

local function write_counts(batch, room, cluster)
  local shard = batch.shard
  if room.taken > 0 then
    redis.call('HINCRBY', key(shard, 'inflight'), cluster, room.taken)
    redis.call('HINCRBY', key(shard, 'inflight'), '*', room.taken)
  end
  if room.asks > 0 then redis.call('HINCRBY', key(shard, 'asking'), cluster, room.asks) end
  for why, ms in pairs(LIVES) do
    if room.sweeps[why] then begin_pause(shard, live(why), cluster, ms) end
  end
  if room.left <= 0 then
    redis.call('SADD', key(shard, 'held'), cluster)
    redis.call('ZREM', key(shard, 'front'), cluster)
  else
    refresh_front(shard, cluster)
  end
end

-- In a crowd of urgent refs the others come last; so, now and then, those that have waited for long are taken first. A look
-- that they share is one message however many they are, so whoever was applied is told of his health before all others are.
local function take_overdue(batch, room, cluster)
  if pause_of(batch.shard, 'overdue', cluster) > 0 then return end
  local part = math.max(1, math.floor(room.left / OVERDUE_PART))
  local rest = room.left - part
  room.left = part
  take_page(batch, room, cluster, 0, batch.now - OVERDUE, PAGE)
  if room.taken > 0 then begin_pause(batch.shard, 'overdue', cluster, OVERDUE) end
  room.left = room.left + rest
end

local function take_cluster(batch, cluster, urgent)
  local busy = tonumber(redis.call('HGET', key(batch.shard, 'inflight'), cluster) or 0)
  local room = {left = batch.cluster_cap - busy, taken = 0, sweeps = {}, asks = 0, pauses = {}, lives = {}}
  for why in pairs(LIVES) do
    room.pauses[why] = pause_of(batch.shard, why, cluster)
    room.lives[why] = pause_of(batch.shard, live(why), cluster)
  end
  if room.left > 0 then
    if urgent then take_overdue(batch, room, cluster) end
    local taken_all = true
    while taken_all do
      taken_all = take_page(batch, room, cluster, '-inf', batch.now, math.max(MIN_PAGE, math.min(PAGE, room.left)))
    end
  end
  write_counts(batch, room, cluster)
end

local function take_clusters(batch)
  while batch.messages < batch.limit do
    local first = redis.call('ZRANGE', key(batch.shard, 'front'), 0, 0, 'WITHSCORES')
    if not first[1] or tonumber(first[2]) > batch.now then return end
    if batch.free <= 0 then
      redis.call('SADD', key(batch.shard, 'held'), '*')
      return
    end
    take_cluster(batch, first[1], tonumber(first[2]) < 0)
  end
end

local function write_fences(batch)
  if batch.messages == 0 then return end
  redis.call('SET', key(batch.shard, 'fence'), int(batch.fence))
  for _, sweep in ipairs(batch.sweeps) do
    redis.call('HSET', key(batch.shard, 'sweeps'), sweep[2], #sweep - 3)
  end
end

-- ms until this shard can have something new: a ref becomes due or a lease ends.
local function wait(batch)
  local shard, soonest = batch.shard, batch.now + IDLE_WAIT
  local lease = redis.call('ZRANGE', key(shard, 'lease'), 0, 0, 'WITHSCORES')
  if lease[2] then soonest = math.min(soonest, tonumber(lease[2])) end
  local front = redis.call('ZRANGE', key(shard, 'front'), 0, 0, 'WITHSCORES')
  if front[2] and redis.call('SISMEMBER', key(shard, 'held'), '*') == 0 then
    soonest = math.min(soonest, tonumber(front[2]))
  end
  return math.max(0, soonest - batch.now)
end

local function claim(args)
  reap(args[1], now_ms())
  local batch = new_batch(args)
  take_clusters(batch)
  write_fences(batch)
  return {wait(batch), batch.runs, unpack(batch.sweeps)}
end

local CLAIM_ARGUMENTS = 7

verb('claims', function(args)
  local replies = {}
  for i = 1, #args, CLAIM_ARGUMENTS do
    table.insert(replies, claim({unpack(args, i, i + CLAIM_ARGUMENTS - 1)}))
  end
  return replies
end)

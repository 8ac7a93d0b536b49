-- fb_register fence {shard ref uid rv generation every_ms cluster flags requested obj status targets reach group}…
--   → {records with news, refs poked, records refused as older}
-- fb_forget fence ref uid → 1, or 0 when the ref is unknown or another object by now
--
-- While rebuilding they answer to the registrar that began the epoch and arm refs spread out instead of poking them.
--
-- fb:shard fb:refers fb:index:<target>   where a ref is, what it refers to, and the reverse
-- fb:clusters fb:clusters:refs           how a cluster is reached, and how many refs live on it
-- {S}:meta {S}:obj {S}:status {S}:memo   the record; a live run is left to finish and finds out then
-- {S}:due:<cluster> {S}:why …            see schedule.lua

local FIELDS = 14
local SPREAD = 10         -- ms between two first runs of a new epoch
local HEAD_START = 20000  -- ms that sources get before the consumers of a new epoch
local PATIENCE = 3000     -- ms that a new consumer waits for the first artifact of a source that is about to run

-- resourceVersions are counters as text, longer than a double is exact.
local function older(a, b) return #a < #b or #a == #b and a < b end

local function index(ref, targets)
  local old = redis.call('HGET', 'fb:refers', ref) or ''
  if old == targets then return false end
  for target in old:gmatch('%S+') do redis.call('SREM', 'fb:index:' .. target, ref) end
  for target in targets:gmatch('%S+') do redis.call('SADD', 'fb:index:' .. target, ref) end
  if targets == '' then redis.call('HDEL', 'fb:refers', ref) else redis.call('HSET', 'fb:refers', ref, targets) end
  return true
end

local function join_cluster(cluster, reach)
  redis.call('HINCRBY', 'fb:clusters:refs', cluster, 1)
  if reach ~= '' then redis.call('HSET', 'fb:clusters', cluster, reach) end
end

local function leave_cluster(cluster)
  if redis.call('HINCRBY', 'fb:clusters:refs', cluster, -1) > 0 then return end
  redis.call('HDEL', 'fb:clusters:refs', cluster)
  redis.call('HDEL', 'fb:clusters', cluster)
  redis.call('HDEL', 'fb:observed', cluster)
end

local function drop(shard, ref, what)
  for _, name in ipairs(what) do redis.call('HDEL', key(shard, name), ref) end
end

-- Take a ref out of a shard. A run that is at work keeps its lease there until it ends; its end (ms) is returned.
local function leave_shard(shard, ref, meta)
  drop(shard, ref, {'meta', 'obj', 'status', 'memo', 'why', 'poked'})
  disarm(shard, meta.cluster, ref)
  redis.call('ZREM', 'fb:changed', shard .. ' ' .. ref)
  local run = run_of(shard, ref)
  if not run then return 0 end
  if run.phase == 'running' then return tonumber(redis.call('ZSCORE', key(shard, 'lease'), ref)) end
  release(shard, ref, run)
  return 0
end

-- Bring a ref's stored status and memo along to another shard. Returns when it may run there.
local function move(old_shard, new_shard, ref, meta)
  local kept = {}
  for _, what in ipairs({'status', 'memo'}) do kept[what] = redis.call('HGET', key(old_shard, what), ref) end
  local unreported = redis.call('ZSCORE', 'fb:changed', old_shard .. ' ' .. ref)
  local floor = leave_shard(old_shard, ref, meta)
  for what, value in pairs(kept) do
    if value then redis.call('HSET', key(new_shard, what), ref, value) end
  end
  if unreported then redis.call('ZADD', 'fb:changed', unreported, new_shard .. ' ' .. ref) end
  return floor
end

-- What our own annotations of a resource say, as text: a change of one of them takes effect at once.
local function switches(obj)
  local found = {}
  for name, value in (obj or ''):gmatch('"fleetbeat%.io/([%w-]+)":"([^"]*)"') do table.insert(found, name .. '=' .. value) end
  table.sort(found)
  return table.concat(found, ' ')
end

-- Why the difference between two records asks for a run, or nil.
local function news(old, new)
  if not old then return 'created' end
  if old.uid ~= new.uid then return 'created anew' end
  if new.deleting and not old.deleting then return 'deleted' end
  if old.generation ~= new.generation then return 'generation ' .. new.generation end
  if old.requested ~= new.requested and new.requested ~= '' then return 'requested' end
  if old.suspended and not new.suspended then return 'resumed' end
  if old.cluster ~= new.cluster then return 'moved to another cluster' end
  return nil
end

-- A resource left a cluster. What its last runs remembered is of no use on another one; instead the next run is told where its
-- objects may be. A run that is at work on the old cluster finishes stale (as that of another object), lest it overwrites this.
local function note_move(shard, ref, cluster, reach)
  local known, memo = redis.call('HGET', key(shard, 'memo'), ref), {}
  if known then
    local ok, decoded = pcall(cjson.decode, known)
    memo = ok and type(decoded) == 'table' and type(decoded.moved) == 'table' and decoded.moved or {}
  end
  local listed = false
  for _, place in ipairs(memo) do listed = listed or place[1] == cluster end
  if not listed then table.insert(memo, {cluster, reach or ''}) end
  redis.call('HSET', key(shard, 'memo'), ref, cjson.encode({moved = memo}))
  local run = run_of(shard, ref)
  if run and run.phase == 'running' then
    run.uid = '-'
    save_run(shard, ref, run)
  end
end

local function record(args, i)
  local flags = args[i + 7]
  return {
    shard = args[i], ref = args[i + 1], obj = args[i + 9], status = args[i + 10], targets = args[i + 11], reach = args[i + 12],
    meta = {
      uid = args[i + 2], rv = args[i + 3], generation = args[i + 4], every = math.max(1, tonumber(args[i + 5])),
      group = args[i + 13], cluster = args[i + 6], requested = args[i + 8], sweepable = false, awaiting = false,
      suspended = flags:find('s', 1, true) ~= nil, deleting = flags:find('d', 1, true) ~= nil,
    },
  }
end

local function store(new, old)
  local shard, ref, meta = new.shard, new.ref, new.meta
  if old and old.uid ~= meta.uid then
    drop(shard, ref, {'status', 'memo'})
    redis.call('ZREM', 'fb:changed', shard .. ' ' .. ref)
    redis.call('HDEL', 'fb:artifacts', ref)
  elseif old then
    meta.sweepable, meta.awaiting = old.sweepable, old.awaiting
  end
  write_meta(shard, ref, meta)
  if redis.call('HGET', key(shard, 'obj'), ref) ~= new.obj then redis.call('HSET', key(shard, 'obj'), ref, new.obj) end
  if new.status ~= '' then redis.call('HSETNX', key(shard, 'status'), ref, new.status) end
  if not old or old.cluster ~= meta.cluster then
    join_cluster(meta.cluster, new.reach)
    if old then leave_cluster(old.cluster) end
  elseif new.reach ~= '' then
    redis.call('HSET', 'fb:clusters', meta.cluster, new.reach)
  end
  index(ref, new.targets)
end

-- The first run of a new epoch.
local function arm_spread(new, now)
  local shard, meta = new.shard, new.meta
  local slot = redis.call('HLEN', key(shard, 'meta')) * SPREAD
  local head_start = applies(shard) and HEAD_START or 0
  local at = meta.deleting and now or now + math.min(meta.every, head_start + slot)
  note_why(shard, new.ref, meta.deleting and 'deleted' or 'the registry was rebuilt')
  arm(shard, meta.cluster, new.ref, at)
end

-- Whether the source that a new consumer names first is about to publish, which pokes the consumer.
local function source_at_work(new)
  local source = applies(new.shard) and new.targets:match('^%S+')
  local shard = source and redis.call('HGET', 'fb:shard', source)
  if not shard or redis.call('HEXISTS', 'fb:artifacts', source) == 1 or not runnable(meta_of(shard, source)) then return false end
  return run_of(shard, source) ~= nil or redis.call('HEXISTS', key(shard, 'why'), source) == 1
end

-- A suspended resource is due no more, but for the one run after its generation moved or a request came.
local function rest(new, old)
  if old and old.lags then return end  -- that run is under way
  disarm(new.shard, new.meta.cluster, new.ref)
  redis.call('HDEL', key(new.shard, 'why'), new.ref)
end

-- Take one record; returns whether it said something new, was poked, was refused.
local function register(new, now, building)
  local ref, meta = new.ref, new.meta
  local old_shard = redis.call('HGET', 'fb:shard', ref)
  local old = old_shard and meta_of(old_shard, ref)
  if old and older(meta.rv, old.rv) then return 0, 0, 1 end
  if old and old.rv == meta.rv and old.uid == meta.uid then return 0, 0, 0 end
  local why, floor = news(old, meta), now
  local rests = not runnable(meta)
  meta.lags = rests and (why or old and old.lags) and true or false
  if old and not why and not rests and switches(redis.call('HGET', key(old_shard, 'obj'), ref)) ~= switches(new.obj) then why = 'annotated' end
  local left = old and old.uid == meta.uid and old.cluster ~= meta.cluster and old.cluster
  local reach = left and redis.call('HGET', 'fb:clusters', left)
  if old and old_shard ~= new.shard then
    floor = math.max(now, move(old_shard, new.shard, ref, old))
  elseif old and old.cluster ~= meta.cluster then
    disarm(old_shard, old.cluster, ref)
  end
  redis.call('HSET', 'fb:shard', ref, new.shard)
  store(new, old)
  if left then note_move(new.shard, ref, left, reach) end
  if rests then rest(new, old) end
  if building and not old then
    arm_spread(new, now)
    return 1, 1, 0
  end
  if not why then return 0, 0, 0 end
  local at = why == 'created' and source_at_work(new) and math.max(floor, now + PATIENCE) or floor
  return 1, ask(new.shard, ref, meta, why, true, at, now), 0
end

local function allowed(fence)
  if epoch() then return not_registrar(fence) end
  return not_building(fence)
end

always('register', function(args)
  local refusal = allowed(args[1])
  if refusal then return redis.error_reply(refusal) end
  local now, building = now_ms(), not epoch()
  local totals = {0, 0, 0}
  for i = 2, #args, FIELDS do
    local changed, poked, refused = register(record(args, i), now, building)
    totals = {totals[1] + changed, totals[2] + poked, totals[3] + refused}
  end
  return totals
end)

always('forget', function(args)
  local refusal = allowed(args[1])
  if refusal then return redis.error_reply(refusal) end
  local ref = args[2]
  local shard = redis.call('HGET', 'fb:shard', ref)
  local meta = shard and meta_of(shard, ref)
  if not meta or meta.uid ~= args[3] then return 0 end
  leave_shard(shard, ref, meta)
  leave_cluster(meta.cluster)
  index(ref, '')
  redis.call('HDEL', 'fb:shard', ref)
  redis.call('HDEL', 'fb:artifacts', ref)
  return 1
end)

-- fb_inspect ref → {shard, cluster, uid, phase, fence, why, due, urgent, lease, dirty, suspended, held, every_ms, now} as texts, or nil
-- fb_live ref… → {phase or empty, …}
-- fb_depth shard → {refs, due, scheduled, live messages, leased refs, ms by which the first is late}
--
-- Reads only; the keys of schedule.lua, {S}:meta, {S}:why and fb:shard.

local function flag(value) return value and '1' or '0' end

local function number(value) return value and int(value) or '' end

verb('inspect', function(args)
  local ref = args[1]
  local shard = redis.call('HGET', 'fb:shard', ref)
  local meta = shard and meta_of(shard, ref)
  if not meta then return nil end
  local run = run_of(shard, ref)
  local score = tonumber(redis.call('ZSCORE', key(shard, 'due:' .. meta.cluster), ref) or nil)
  local urgent = score and score < 0
  local lease = tonumber(redis.call('ZSCORE', key(shard, 'lease'), ref) or nil)
  local held = redis.call('SMISMEMBER', key(shard, 'held'), meta.cluster, '*')
  local why = join_why(run and run.why, redis.call('HGET', key(shard, 'why'), ref) or '')
  return {
    shard, meta.cluster, meta.uid, run and run.phase or 'idle', run and run.fence or '0', why,
    number(urgent and score + URGENT or score), flag(urgent), number(run and lease), flag(run and run.dirty),
    flag(meta.suspended), flag(held[1] == 1 or held[2] == 1), int(meta.every), int(now_ms()),
  }
end)

verb('live', function(args)
  local phases = {}
  for i, ref in ipairs(args) do
    local shard = redis.call('HGET', 'fb:shard', ref)
    local run = shard and run_of(shard, ref)
    phases[i] = run and run.phase or ''
  end
  return phases
end)

verb('depth', function(args)
  local shard, now = args[1], now_ms()
  local due, scheduled, first = 0, 0, now
  local clusters = redis.call('ZRANGE', key(shard, 'front'), 0, -1)
  for _, cluster in ipairs(redis.call('SMEMBERS', key(shard, 'held'))) do table.insert(clusters, cluster) end
  for _, cluster in ipairs(clusters) do
    local name = key(shard, 'due:' .. cluster)
    local count = redis.call('ZCOUNT', name, '-inf', now)
    due, scheduled = due + count, scheduled + redis.call('ZCARD', name) - count
    local oldest = redis.call('ZRANGEBYSCORE', name, 0, now, 'WITHSCORES', 'LIMIT', 0, 1)
    if oldest[2] then first = math.min(first, tonumber(oldest[2])) end
  end
  return {
    redis.call('HLEN', key(shard, 'meta')), due, scheduled, tonumber(redis.call('HGET', key(shard, 'inflight'), '*') or 0),
    redis.call('ZCARD', key(shard, 'lease')), now - first,
  }
end)

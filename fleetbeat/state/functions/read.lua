-- fb_look ref… → {{shard, uid, generation, cluster, obj, status} or empty, …}
-- fb_memos shard ref… → {memo or nil, …}
-- fb_mark_observed cluster…   its watches are live now
-- fb_observed → {cluster, ms since then, …}
--
-- fb:shard {S}:meta {S}:obj {S}:status {S}:memo
-- fb:observed   cluster → ms of the last sign of life of its watches

verb('look', function(args)
  local rows = {}
  for i, ref in ipairs(args) do
    local shard = redis.call('HGET', 'fb:shard', ref)
    local meta = shard and meta_of(shard, ref)
    rows[i] = meta and {
      shard, meta.uid, meta.generation, meta.cluster,
      redis.call('HGET', key(shard, 'obj'), ref), redis.call('HGET', key(shard, 'status'), ref),
    } or {}
  end
  return rows
end)

verb('memos', function(args) return redis.call('HMGET', key(args[1], 'memo'), unpack(args, 2)) end)

verb('mark_observed', function(args)
  local now = int(now_ms())
  for _, cluster in ipairs(args) do redis.call('HSET', 'fb:observed', cluster, now) end
end)

verb('observed', function()
  local now, rows = now_ms(), redis.call('HGETALL', 'fb:observed')
  for i = 2, #rows, 2 do rows[i] = now - tonumber(rows[i]) end
  return rows
end)

-- fb_changed limit after → {{shard, ref, seq, uid, status}, …}, oldest first, of those with a seq beyond `after`
-- fb_ack {member seq}… → how many marks were cleared; a mark with another seq is newer and stays
--
-- fb:changed   zset   `shard ref` → seq of its last change
-- {S}:meta {S}:status

verb('changed', function(args)
  local marks = redis.call('ZRANGEBYSCORE', 'fb:changed', '(' .. args[2], '+inf', 'WITHSCORES', 'LIMIT', 0, tonumber(args[1]))
  local found = {}
  for i = 1, #marks, 2 do
    local shard, ref = marks[i]:match('^(%S+) (.+)$')
    local meta, status = meta_of(shard, ref), redis.call('HGET', key(shard, 'status'), ref)
    if meta and status then
      table.insert(found, {shard, ref, marks[i + 1], meta.uid, status})
    else
      redis.call('ZREM', 'fb:changed', marks[i])
    end
  end
  return found
end)

verb('ack', function(args)
  local cleared = 0
  for i = 1, #args, 2 do
    if redis.call('ZSCORE', 'fb:changed', args[i]) == args[i + 1] then
      cleared = cleared + redis.call('ZREM', 'fb:changed', args[i])
    end
  end
  return cleared
end)

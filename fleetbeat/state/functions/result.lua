-- What a run or a sweep found, written down.
--
-- {S}:status {S}:memo            ref → JSON
-- fb:changed fb:seq              a status that differs is marked for the reporter
-- fb:events                      capped stream

local EVENTS = 10000

-- True when the stored value differs from `value` and was replaced; an empty one removes it.
local function write_value(shard, what, ref, value)
  local name = key(shard, what)
  if (redis.call('HGET', name, ref) or '') == value then return false end
  if value == '' then redis.call('HDEL', name, ref) else redis.call('HSET', name, ref, value) end
  return true
end

local function write_status(shard, ref, status)
  if not write_value(shard, 'status', ref, status) then return false end
  redis.call('ZADD', 'fb:changed', redis.call('INCR', 'fb:seq'), shard .. ' ' .. ref)
  return true
end

-- True when there was an event among events[from…to].
local function emit(events, from, to)
  for i = from, to do
    redis.call('XADD', 'fb:events', 'MAXLEN', '~', EVENTS, '*', 'e', events[i])
  end
  return to >= from
end

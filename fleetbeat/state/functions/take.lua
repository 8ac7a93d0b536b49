-- fb_take name interval_us burst → 0 when a token was taken, else the ms until there is one again
-- fb_rest name ms                 no token is taken before these ms are over
--
-- A bucket of `burst` tokens, refilled by one every interval_us, for whatever all workers together should not overdo.
-- It answers while rebuilding: nothing of the registry is touched.
--
-- fb:bucket:<name>   the time (µs) at which the bucket will be full again; gone once it is
-- fb:rest:<name>     there, until it expires, while nobody may take one

always('take', function(args)
  local name, interval, burst = 'fb:bucket:' .. args[1], tonumber(args[2]), tonumber(args[3])
  local rest = redis.call('PTTL', 'fb:rest:' .. args[1])
  if rest > 0 then return rest end
  local t = redis.call('TIME')
  local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
  local full = math.max(tonumber(redis.call('GET', name) or 0), now)
  local short = full - now - (burst - 1) * interval
  if short > 0 then return math.ceil(short / 1000) end
  full = full + interval
  redis.call('SET', name, int(full), 'PX', int(math.ceil((full - now) / 1000)))
  return 0
end)

always('rest', function(args)
  local name, ms = 'fb:rest:' .. args[1], tonumber(args[2])
  if ms > redis.call('PTTL', name) then redis.call('SET', name, '1', 'PX', ms) end
end)

-- fb_take name interval_us burst rest… → 0 when a token was taken, else the ms until there is one again
-- fb_rest rest ms   while every rest that a taker names lasts, there is no token for it
--
-- A bucket of `burst` tokens, refilled by one every interval_us, for whatever all workers together should not overdo.
-- It answers while rebuilding: nothing of the registry is touched.
--
-- fb:bucket:<name>   the time (µs) at which the bucket will be full again; gone once it is
-- fb:rest:<rest>     there, until it expires

always('take', function(args)
  local name, interval, burst = 'fb:bucket:' .. args[1], tonumber(args[2]), tonumber(args[3])
  local rest = math.huge
  for i = 4, #args do rest = math.min(rest, redis.call('PTTL', 'fb:rest:' .. args[i])) end
  if #args > 3 and rest > 0 then return rest end
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

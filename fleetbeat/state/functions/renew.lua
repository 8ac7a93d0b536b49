-- fb_renew shard ref fence lease_ms → 1, or 0 when the run is superseded
--
-- A lease that ran out but was not reaped yet is renewed: nobody else has run.
--
-- {S}:run {S}:lease   the live runs, see schedule.lua

verb('renew', function(args)
  local shard, ref = args[1], args[2]
  local run = run_of(shard, ref)
  if not run or run.fence ~= args[3] then return 0 end
  redis.call('ZADD', key(shard, 'lease'), now_ms() + tonumber(args[4]), ref)
  return 1
end)

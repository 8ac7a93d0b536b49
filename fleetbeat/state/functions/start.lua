-- fb_start shard ref fence nonce lease_ms → {obj, status, memo, why, uid, generation, cluster, epoch, asked, now} or nil
--
-- Nil when the run is superseded, or was started already by somebody else; `nonce` tells a repeated call of the same caller
-- from a message that was delivered twice.
-- `asked` is the ms of the last poke that the run is for, `now` the ms of this call.
--
-- {S}:run {S}:lease {S}:inflight {S}:held   the live runs, see schedule.lua
-- {S}:meta {S}:obj {S}:status {S}:memo      what the run is given

verb('start', function(args)
  local shard, ref, fence, nonce = args[1], args[2], args[3], args[4]
  local run = run_of(shard, ref)
  local mine = run and run.fence == fence and (run.phase == 'queued' or run.phase == 'running' and run.nonce == nonce)
  if not mine then
    -- a stale message has left the queue, whose length may be what held the lane
    if redis.call('SREM', key(shard, 'held'), '*') == 1 then wake() end
    return nil
  end
  local meta = meta_of(shard, ref)
  if not may_run(meta) then
    release(shard, ref, run)
    return nil
  end
  local now = now_ms()
  local asked = run.phase == 'queued' and tonumber(run.nonce) or now
  run.phase, run.nonce, run.uid = 'running', nonce, meta.uid
  save_run(shard, ref, run)
  redis.call('ZADD', key(shard, 'lease'), now + tonumber(args[5]), ref)
  return {
    redis.call('HGET', key(shard, 'obj'), ref), redis.call('HGET', key(shard, 'status'), ref),
    redis.call('HGET', key(shard, 'memo'), ref), run.why, meta.uid, meta.generation, meta.cluster, epoch(),
    int(asked), int(now),
  }
end)

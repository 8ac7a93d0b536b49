-- fb_remember shard fence {ref memo}…
--
-- What a sweep learnt of refs that it still holds and that a run would have put into their memo.
--
-- {S}:run    read
-- {S}:memo   written

verb('remember', function(args)
  local shard, fence = args[1], args[2]
  for i = 3, #args, 2 do
    local run = run_of(shard, args[i])
    if run and run.phase == 'sweep' and run.fence == fence then redis.call('HSET', key(shard, 'memo'), args[i], args[i + 1]) end
  end
end)

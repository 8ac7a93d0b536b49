-- fb_publish_artifact source json registrar → 1, or 0 when a newer fence has published
-- fb_artifact source → json or nil
-- fb_artifacts source… → {json or nil, …}
--
-- fb:artifacts   source ref → JSON with `fence`, the fence of the source run that made it; of this epoch only
-- `registrar` is the registrar's fence when it publishes while it rebuilds, else empty.

always('publish_artifact', function(args)
  if not epoch() then
    local refusal = args[3] == '' and REBUILDING or not_building(args[3])
    if refusal then return redis.error_reply(refusal) end
  end
  local stored = redis.call('HGET', 'fb:artifacts', args[1])
  if stored and (cjson.decode(stored).fence or 0) > (cjson.decode(args[2]).fence or 0) then return 0 end
  redis.call('HSET', 'fb:artifacts', args[1], args[2])
  return 1
end)

verb('artifact', function(args) return redis.call('HGET', 'fb:artifacts', args[1]) end)

verb('artifacts', function(args) return redis.call('HMGET', 'fb:artifacts', unpack(args)) end)

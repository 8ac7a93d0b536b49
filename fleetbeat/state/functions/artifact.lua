-- fb_publish_artifact source json registrar → 1, or 0 when a newer fence has published
-- fb_offer registrar source json → 1 when it is news to consumers, else 0; an empty json takes the source's record away
-- fb_told registrar source…   their dependents know of what was offered
-- fb_artifact source → json or nil
-- fb_artifacts source… → {json or nil, …}
--
-- fb:artifacts   source ref → JSON with `fence`, the fence of the source run that made it; of this epoch only
-- fb:untold      sources whose offered artifact their dependents were not poked for yet
--
-- An artifact of ours has a `key`. One without was made by somebody else and is offered by the registrar, whose order is
-- that of the hub: whatever it says last holds. So is the state of an applier that others reconcile and ours depend on:
-- JSON with `object`, and with a `revision` that moves with what dependents look at.
--
-- `registrar` is the registrar's fence when it publishes while it rebuilds, else empty.

always('publish_artifact', function(args)
  if not epoch() then
    local refusal = args[3] == '' and REBUILDING or not_building(args[3])
    if refusal then return redis.error_reply(refusal) end
  end
  local stored = redis.call('HGET', 'fb:artifacts', args[1])
  stored = stored and cjson.decode(stored)
  if stored and stored.key and (stored.fence or 0) > (cjson.decode(args[2]).fence or 0) then return 0 end
  redis.call('HSET', 'fb:artifacts', args[1], args[2])
  return 1
end)

-- Why the registrar with this fence may not speak for others, or nil.
local function not_speaking(fence)
  if epoch() then return not_registrar(fence) end
  return not_building(fence)
end

-- Whether consumers have something to do: who only learns where a content came from in the first place has not.
local function moved(old, new)
  return old.revision ~= new.revision or old.digest ~= new.digest or old.url ~= new.url
end

always('offer', function(args)
  local refusal = not_speaking(args[1])
  if refusal then return redis.error_reply(refusal) end
  local source, json = args[2], args[3]
  local stored = redis.call('HGET', 'fb:artifacts', source) or ''
  if stored == json then return 0 end
  if json == '' then
    redis.call('HDEL', 'fb:artifacts', source)
    redis.call('SREM', 'fb:untold', source)
    return 1
  end
  redis.call('HSET', 'fb:artifacts', source, json)
  if stored ~= '' and not moved(cjson.decode(stored), cjson.decode(json)) then return 0 end
  redis.call('SADD', 'fb:untold', source)
  return 1
end)

always('told', function(args)
  local refusal = not_speaking(args[1])
  if refusal then return redis.error_reply(refusal) end
  return redis.call('SREM', 'fb:untold', unpack(args, 2))
end)

verb('artifact', function(args) return redis.call('HGET', 'fb:artifacts', args[1]) end)

verb('artifacts', function(args) return redis.call('HMGET', 'fb:artifacts', unpack(args)) end)

-- fb_begin_epoch fence   clears the registry; every verb answers *rebuilding* from now on
-- fb_commit_epoch fence → the epoch's name; the registry is complete
--
-- `fence` is the caller's of the role registrar.
--
-- fb:epoch           <run_id>:<fence>, written last
-- fb:rebuild         <run_id>:<fence> of the rebuild under way
-- fb:lease:registrar read
-- fb:{*, fb:index:*, fb:shard …   cleared; roles and events stay

local CLEARED = {
  'fb:shard', 'fb:changed', 'fb:refers', 'fb:artifacts', 'fb:untold', 'fb:clusters', 'fb:clusters:refs', 'fb:observed',
}

local function unlink_matching(pattern)
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
    cursor = page[1]
    if #page[2] > 0 then redis.call('UNLINK', unpack(page[2])) end
  until cursor == '0'
end

always('begin_epoch', function(args)
  local refusal = not_registrar(args[1])
  if refusal then return redis.error_reply(refusal) end
  redis.call('DEL', 'fb:epoch')
  redis.call('SET', 'fb:rebuild', server() .. ':' .. args[1])
  unlink_matching('fb:{*')
  unlink_matching('fb:index:*')
  redis.call('UNLINK', unpack(CLEARED))
end)

always('commit_epoch', function(args)
  local refusal = not_building(args[1])
  if refusal then return redis.error_reply(refusal) end
  local name = redis.call('GET', 'fb:rebuild')
  redis.call('SET', 'fb:epoch', name)
  redis.call('DEL', 'fb:rebuild')
  wake()
  nudge_reporter()
  return name
end)

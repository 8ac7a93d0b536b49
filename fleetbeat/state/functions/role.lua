-- fb_acquire role holder lease_ms → fence, or nil while another holds the role
-- fb_renew_role role fence lease_ms → 1, or 0 when it is lost
-- fb_release role fence → 1, or 0 when it was lost before
--
-- They answer while rebuilding: the registrar needs its role to rebuild.
--
-- fb:lease:<role>   hash: holder, fence, until (ms). The fence stays behind when the role is free, so that it only grows

local function read(role)
  local row = redis.call('HMGET', 'fb:lease:' .. role, 'holder', 'fence', 'until')
  return row[1], row[2], tonumber(row[3] or 0)
end

always('acquire', function(args)
  local holder, fence, expires = read(args[1])
  local now = now_ms()
  if holder and holder ~= '' and holder ~= args[2] and expires > now then return nil end
  local mine = int(next_fence(fence))
  redis.call('HSET', 'fb:lease:' .. args[1], 'holder', args[2], 'fence', mine, 'until', int(now + tonumber(args[3])))
  return mine
end)

always('renew_role', function(args)
  local holder, fence = read(args[1])
  if not holder or holder == '' or fence ~= args[2] then return 0 end
  redis.call('HSET', 'fb:lease:' .. args[1], 'until', int(now_ms() + tonumber(args[3])))
  return 1
end)

always('release', function(args)
  local holder, fence = read(args[1])
  if not holder or holder == '' or fence ~= args[2] then return 0 end
  redis.call('HSET', 'fb:lease:' .. args[1], 'holder', '', 'until', 0)
  return 1
end)

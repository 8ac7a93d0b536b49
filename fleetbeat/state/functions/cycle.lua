-- fb_cycle ref kind… → the refs along the shortest way from `ref` back to itself, both ends included; empty when there is none
--
-- fb:refers   ref → its targets; only those of the kinds are followed, each once

verb('cycle', function(args)
  local goal, followed = args[1], {}
  for i = 2, #args do followed[args[i]] = true end
  local queue, from, head = {goal}, {}, 1
  while head <= #queue and not from[goal] do
    local ref = queue[head]
    for target in (redis.call('HGET', 'fb:refers', ref) or ''):gmatch('%S+') do
      if not from[target] and followed[target:match('^[^/]+')] then
        from[target] = ref
        table.insert(queue, target)
      end
    end
    head = head + 1
  end
  if not from[goal] then return {} end
  local path, at = {goal}, goal
  repeat
    at = from[at]
    table.insert(path, 1, at)
  until at == goal
  return path
end)

-- fb_poke why urgent delay_ms ref… → how many were poked
-- fb_poke_dependents target why urgent delay_ms limit → {how many were poked, {refs beyond the limit, to be poked by fb_poke}}
-- fb_dependents target… → {{refs that refer to it}, …}
--
-- fb:shard            ref → shard
-- fb:index:<target>   set of the refs that refer to it
-- {S}:meta {S}:run {S}:lease {S}:why {S}:due:<cluster> {S}:front   see poke_one in schedule.lua

local function poke_all(refs, from, to, why, urgent, delay)
  local now, poked = now_ms(), 0
  for i = from, to do
    poked = poked + poke_one(refs[i], why ~= '' and why or 'poked', urgent == '1', now + tonumber(delay), now)
  end
  return poked
end

verb('poke', function(args)
  return poke_all(args, 4, #args, args[1], args[2], args[3])
end)

verb('poke_dependents', function(args)
  local refs, limit = redis.call('SMEMBERS', 'fb:index:' .. args[1]), tonumber(args[5])
  local poked = poke_all(refs, 1, math.min(#refs, limit), args[2], args[3], args[4])
  local rest = {}
  for i = limit + 1, #refs do table.insert(rest, refs[i]) end
  return {poked, rest}
end)

verb('dependents', function(args)
  local found = {}
  for i, target in ipairs(args) do found[i] = redis.call('SMEMBERS', 'fb:index:' .. target) end
  return found
end)

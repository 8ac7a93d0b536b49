-- Helpers of every verb: time, keys, records, the epoch and the registration of verbs.
--
-- A verb is `fb_<name>`, takes no declared keys (names follow from the shard) and lists what it touches in its file's header;
-- {S} is the shard in braces. All times are the server's, in ms.

local run_id  -- of this server process; the library is compiled anew in every process, so this cannot go stale

local function server()
  if not run_id then run_id = redis.call('INFO', 'server'):match('run_id:(%x+)') end
  return run_id
end

-- The epoch's name when it was committed on this very process, else nil.
local function epoch()
  local name = redis.call('GET', 'fb:epoch')
  return name and name:match('^%x+') == server() and name or nil
end

local function always(name, verb)
  redis.register_function('fb_' .. name, function(_, args) return verb(args) end)
end

local REBUILDING = 'REBUILDING the registry is being rebuilt from the hub'

-- A verb that answers only while an epoch stands.
local function verb(name, body)
  always(name, function(args)
    if not epoch() then return redis.error_reply(REBUILDING) end
    return body(args)
  end)
end

-- Why the caller with this fence may not write the registry, or nil.
local function not_registrar(fence)
  if redis.call('HGET', 'fb:lease:registrar', 'fence') == fence then return nil end
  return 'LOSTLEASE the role registrar is held by another process'
end

-- Why the caller with this fence may not go on with a rebuild, or nil.
local function not_building(fence)
  local refusal = not_registrar(fence)
  if refusal then return refusal end
  if redis.call('GET', 'fb:rebuild') ~= server() .. ':' .. fence then return REBUILDING end
  return nil
end

local function now_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function int(number) return string.format('%.0f', number) end

-- A number greater than `last`, than every other fence handed out before, and than those of a wiped server.
local function next_fence(last)
  local t = redis.call('TIME')
  return math.max(tonumber(last or 0) + 1, tonumber(t[1]) * 1000000 + tonumber(t[2]))
end

local function key(shard, what) return 'fb:{' .. shard .. '}:' .. what end

local function wake()
  if redis.call('EXISTS', 'fb:wake') == 0 then redis.call('LPUSH', 'fb:wake', '1') end
end

local function nudge_reporter()
  if redis.call('EXISTS', 'fb:report') == 0 then redis.call('LPUSH', 'fb:report', '1') end
end

-- meta: uid;rv;generation;every_ms[@group];cluster;flags;requested. flags: s suspended, l its status lags; d deleting; w may be
-- swept or h waits for health of which others may see to it: what a look that is shared can do for it, until a run says otherwise.
local function read_meta(text)
  if not text then return nil end
  local uid, rv, generation, every, group, cluster, flags, requested =
    text:match('^([^;]*);([^;]*);([^;]*);(%d+)@?([^;]*);([^;]*);([^;]*);(.*)$')
  return {
    uid = uid, rv = rv, generation = generation, every = tonumber(every), group = group, cluster = cluster,
    suspended = flags:find('s', 1, true) ~= nil,
    lags = flags:find('l', 1, true) ~= nil,
    deleting = flags:find('d', 1, true) ~= nil,
    sweepable = flags:find('w', 1, true) ~= nil,
    awaiting = flags:find('h', 1, true) ~= nil,
    requested = requested,
  }
end

local function write_meta(shard, ref, meta)
  local suspended = meta.suspended and (meta.lags and 'sl' or 's') or ''
  local flags = suspended .. (meta.deleting and 'd' or '') .. (meta.sweepable and 'w' or meta.awaiting and 'h' or '')
  local every = int(meta.every) .. (meta.group ~= '' and '@' .. meta.group or '')
  redis.call('HSET', key(shard, 'meta'), ref, table.concat(
    {meta.uid, meta.rv, meta.generation, every, meta.cluster, flags, meta.requested}, ';'))
end

-- Note which looks at a ref may be shared from now on: `w`, `h` or none.
local function save_shares(shard, ref, meta, shares)
  local sweepable, awaiting = shares == 'w', shares == 'h'
  if meta.sweepable == sweepable and meta.awaiting == awaiting then return end
  meta.sweepable, meta.awaiting = sweepable, awaiting
  write_meta(shard, ref, meta)
end

local function meta_of(shard, ref) return read_meta(redis.call('HGET', key(shard, 'meta'), ref)) end

-- Whether a shard's refs look at servers, and may share a look that began after all that they were poked for.
local function looks(shard) return shard == 'source' end

-- Whether a shard's refs bring objects to clusters.
local function applies(shard) return shard:sub(1, 6) == 'apply-' end

-- A suspended resource does not run, but its deletion does.
local function runnable(meta) return meta and (meta.deleting or not meta.suspended) end

-- Nor does it, but for the one run that moves its status on after its generation did, or a request came. Only the registrar
-- asks for that one; pokes do not.
local function may_run(meta) return runnable(meta) or meta and meta.lags end

-- run: fence;phase;dirty;nonce;uid;cluster;why. dirty is the due score of the run that must follow, or empty. While a run is
-- queued its nonce is the ms of the last poke that it will do for.
local function read_run(text)
  if not text then return nil end
  local fence, phase, dirty, nonce, uid, cluster, why =
    text:match('^(%d+);(%a+);([^;]*);([^;]*);([^;]*);([^;]*);(.*)$')
  return {fence = fence, phase = phase, dirty = tonumber(dirty), nonce = nonce, uid = uid, cluster = cluster, why = why}
end

local function run_text(run)
  return table.concat({run.fence, run.phase, run.dirty and int(run.dirty) or '', run.nonce, run.uid, run.cluster, run.why}, ';')
end

local function run_of(shard, ref) return read_run(redis.call('HGET', key(shard, 'run'), ref)) end

local function save_run(shard, ref, run) redis.call('HSET', key(shard, 'run'), ref, run_text(run)) end

local WHY_LIMIT = 300

local function join_why(old, new)
  if not old or old == '' then return new end
  if new == '' or old:find(new, 1, true) or #old > WHY_LIMIT then return old end
  return old .. ', ' .. new
end

-- Calls `command key a b c …` in portions that fit Lua's stack.
local function bulk(command, name, args, step)
  step = step or 1000
  for i = 1, #args, step do
    redis.call(command, name, unpack(args, i, math.min(i + step - 1, #args)))
  end
end

-- Queue and batches on Redis 7.0: every change of state is one call of this script, and so happens wholly or not at
-- all. KEYS[1] is <prefix>due, ARGV[1] the command. All keys share the hash tag in the prefix, hence one slot.
--
--   b:<id>      hash     the batch        b:<id>:w  stream  its chunks that have no results, one consumer group
--   b:<id>:r    hash     number -> results             b:<id>:d  list    numbers in the order of completion
--   <stream>:j  hash     message -> place of the suspect, message/place -> strikes
--   l:<tenant>  stream   chunks of live calls           a:<asker>  stream  their answers
--   ring:<lane>, ring:<lane>:<tenant>   lists    tenants, and a tenant's streams, that take turns
--   bell:<lane> list     tokens that wake idle workers   due  zset  open batches by the time something must happen
--   clock       string   the latest time that was seen here
--   live        set      tenants with a live stream      k:<tenant>:<key>  hash  idempotency  t:<tenant>  zset
--
-- Times are this server's, in milliseconds.

local prefix = string.sub(KEYS[1], 1, -4)
local GROUP = 'w'
local BELL_TOKENS = 64
local MARK_MS = 10000
local CLOCK_MS = 1000
local CLOCK_KEPT_MS = 3600000
local ENDS = { in_progress = 'completed', finalizing = 'expired', cancelling = 'cancelled' }

local function text(number) return string.format('%.0f', number) end

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function meta(id) return prefix .. 'b:' .. id end
local function work(id) return 'b:' .. id .. ':w' end

local function bell(lane, count)
  local key = prefix .. 'bell:' .. lane
  for _ = 1, math.min(count, BELL_TOKENS - redis.call('LLEN', key)) do redis.call('RPUSH', key, 1) end
end

local function ring(lane, tenant, name)
  local outer = prefix .. 'ring:' .. lane
  local inner = outer .. ':' .. tenant
  if not redis.call('LPOS', inner, name) then redis.call('RPUSH', inner, name) end
  if not redis.call('LPOS', outer, tenant) then redis.call('RPUSH', outer, tenant) end
end

local function unring(lane, tenant, name)
  local outer = prefix .. 'ring:' .. lane
  local inner = outer .. ':' .. tenant
  redis.call('LREM', inner, 0, name)
  if redis.call('LLEN', inner) == 0 then redis.call('LREM', outer, 0, tenant) end
end

local function expire_later(key, ms)
  redis.call('PEXPIRE', key, ms, 'NX')
  redis.call('PEXPIRE', key, ms, 'GT')
end

local function discard(id)
  local m = meta(id)
  local tenant = redis.call('HGET', m, 'tenant')
  if tenant then unring('batch', tenant, work(id)) end
  redis.call('ZREM', KEYS[1], id)
  redis.call('DEL', m, m .. ':w', m .. ':r', m .. ':d', m .. ':w:j')
end

local function finish(id, time)
  local m = meta(id)
  local got = redis.call('HMGET', m, 'status', 'tenant', 'keep_ms')
  local to = ENDS[got[1]]
  if not to then return end
  redis.call('HSET', m, 'status', to, to .. '_at', text(time))
  if to == 'completed' then redis.call('HSET', m, 'finalizing_at', text(time)) end
  redis.call('ZREM', KEYS[1], id)
  unring('batch', got[2], work(id))
  redis.call('DEL', m .. ':w', m .. ':w:j')
  for _, key in ipairs({ m, m .. ':r', m .. ':d' }) do redis.call('PEXPIRE', key, got[3]) end
end

local function drop_live_if_empty(tenant)
  local key = prefix .. 'l:' .. tenant
  if redis.call('XLEN', key) == 0 then
    redis.call('DEL', key, key .. ':j')
    redis.call('SREM', prefix .. 'live', tenant)
    unring('live', tenant, 'l:' .. tenant)
  end
end

-- One message as the client's list, or nothing if it is not to be worked on (any more).
local function describe(lane, tenant, name, message, flat, deliveries, time, suspect, strikes)
  local f = {}
  for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
  local job, left
  if lane == 'live' then
    job, left = f.c, tonumber(f.x) - time
    if left <= 0 then
      redis.call('XACK', prefix .. name, GROUP, message)
      redis.call('XDEL', prefix .. name, message)
      drop_live_if_empty(tenant)
      return nil
    end
  else
    job = string.sub(name, 3, -3)
    local got = redis.call('HMGET', meta(job), 'status', 'expires_at')
    if got[1] ~= 'in_progress' and deliveries > 0 then return nil end
    left = math.max(0, (tonumber(got[2] or 0) or 0) - time)
  end
  return { name, message, tenant, job, f.n, f.f or '0', f.i, f.p, f.a or '', text(left), text(deliveries),
           suspect or '', strikes or '' }
end

local function suspicion(name, message)
  local key = prefix .. name .. ':j'
  local place = redis.call('HGET', key, message)
  if place then
    redis.call('HINCRBY', key, message .. '/' .. place, 1)
    redis.call('HDEL', key, message)
  end
  local strikes = {}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, #message + 1) == message .. '/' then
      strikes[#strikes + 1] = string.sub(all[i], #message + 2) .. '=' .. all[i + 1]
    end
  end
  return place or '', table.concat(strikes, ',')
end

local function owned(name, message, consumer)
  local got = redis.pcall('XPENDING', prefix .. name, GROUP, message, message, 1, consumer)
  return got.err == nil and #got > 0
end

local run = {}

-- id tenant key digest window_ms keep_ms metadata upload_ms
function run.begin(a)
  local time, m = clock(), meta(a[2])
  redis.call('HSET', m, 'id', a[2], 'tenant', a[3], 'key', a[4], 'digest', a[5], 'window_ms', a[6], 'keep_ms', a[7],
    'metadata', a[8], 'status', 'validating', 'created_at', text(time), 'validating_at', text(time), 'total', 0,
    'completed', 0, 'failed', 0, 'chunks', 0, 'bytes', 0)
  redis.call('PEXPIRE', m, a[9] * 10)
  redis.call('ZADD', KEYS[1], text(time + a[9]), a[2])
  return run.get(a)
end

-- id number capacity upload_ms {items payload}*
function run.add(a)
  local id, number, capacity, m = a[2], tonumber(a[3]), tonumber(a[4]), meta(a[2])
  local got = redis.call('HMGET', m, 'status', 'chunks', 'total', 'bytes')
  if got[1] ~= 'validating' then return 'gone' end
  local chunks, total, bytes, held, more = tonumber(got[2]), tonumber(got[3]), tonumber(got[4]), 0, 0
  for i = 7, #a, 2 do more = more + #a[i] end
  for _, other in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    held = held + (tonumber(redis.call('HGET', meta(other), 'bytes') or 0) or 0)
  end
  if held + more > capacity then return 'full' end
  if chunks == 0 then redis.pcall('XGROUP', 'CREATE', m .. ':w', GROUP, '0', 'MKSTREAM') end
  for i = 6, #a, 2 do
    if number == chunks then
      redis.call('XADD', m .. ':w', '*', 'n', text(number), 'f', text(total), 'i', a[i], 'p', a[i + 1])
      chunks, total, bytes = chunks + 1, total + a[i], bytes + #a[i + 1]
    end
    number = number + 1
  end
  redis.call('HSET', m, 'chunks', text(chunks), 'total', text(total), 'bytes', text(bytes))
  redis.call('ZADD', KEYS[1], text(clock() + a[5]), id)
  redis.call('PEXPIRE', m, a[5] * 10)
  redis.call('PEXPIRE', m .. ':w', a[5] * 10)
  return 'ok'
end

-- id
function run.seal(a)
  local id, m, time = a[2], meta(a[2]), clock()
  local got = redis.call('HMGET', m, 'status', 'tenant', 'key', 'digest', 'window_ms', 'keep_ms', 'chunks')
  local status, tenant, key, digest = got[1], got[2], got[3], got[4]
  if not status then return { 'gone', id } end
  if status ~= 'validating' then return { 'sealed', id } end
  if tonumber(got[7]) == 0 then return { 'empty', id } end
  local life = got[5] + got[6]
  if key ~= '' then
    local name = prefix .. 'k:' .. tenant .. ':' .. key
    local first = redis.call('HMGET', name, 'id', 'digest')
    if first[1] and redis.call('EXISTS', meta(first[1])) == 1 then
      discard(id)
      return { first[2] == digest and 'replayed' or 'conflict', first[1] }
    end
    redis.call('HSET', name, 'id', id, 'digest', digest)
    redis.call('PEXPIRE', name, text(life))
  end
  local expires = time + got[5]
  redis.call('HSET', m, 'status', 'in_progress', 'in_progress_at', text(time), 'expires_at', text(expires))
  redis.call('ZADD', KEYS[1], text(expires), id)
  redis.call('PEXPIRE', m, text(life))
  redis.call('PEXPIRE', m .. ':w', text(life))
  redis.call('ZADD', prefix .. 't:' .. tenant, text(time), id)
  expire_later(prefix .. 't:' .. tenant, text(life))
  ring('batch', tenant, work(id))
  bell('batch', tonumber(got[7]))
  return { 'sealed', id }
end

-- id errors
function run.reject(a)
  local m, time = meta(a[2]), clock()
  local got = redis.call('HMGET', m, 'status', 'tenant', 'keep_ms')
  if not got[1] then return {} end
  if got[1] == 'validating' then
    redis.call('HSET', m, 'status', 'failed', 'failed_at', text(time), 'errors', a[3], 'bytes', 0)
    redis.call('ZREM', KEYS[1], a[2])
    redis.call('DEL', m .. ':w')
    redis.call('PEXPIRE', m, got[3])
    redis.call('ZADD', prefix .. 't:' .. got[2], text(time), a[2])
    expire_later(prefix .. 't:' .. got[2], got[3])
  end
  return run.get(a)
end

-- tenant key digest
function run.find(a)
  local first = redis.call('HMGET', prefix .. 'k:' .. a[2] .. ':' .. a[3], 'id', 'digest')
  if not first[1] or redis.call('EXISTS', meta(first[1])) == 0 then return { 'none', '' } end
  return { first[2] == a[4] and 'replayed' or 'conflict', first[1] }
end

-- id
function run.get(a)
  local m = meta(a[2])
  local fields = redis.call('HGETALL', m)
  if #fields == 0 then return {} end
  for _, extra in ipairs({ 'now', text(clock()), 'finished', text(redis.call('LLEN', m .. ':d')) }) do
    fields[#fields + 1] = extra
  end
  return fields
end

-- tenant after limit
function run.list(a)
  local key, out, start = prefix .. 't:' .. a[2], {}, 0
  if a[3] ~= '' then
    local rank = redis.call('ZREVRANK', key, a[3])
    if not rank then return out end
    start = rank + 1
  end
  while #out < tonumber(a[4]) do
    local page = redis.call('ZREVRANGE', key, start, start + 99)
    if #page == 0 then break end
    for _, id in ipairs(page) do
      local batch = run.get({ 'get', id })
      if #batch == 0 then
        redis.call('ZREM', key, id)
      else
        start = start + 1
        if #out < tonumber(a[4]) then out[#out + 1] = batch end
      end
    end
  end
  return out
end

-- id
function run.cancel(a)
  local m, time = meta(a[2]), clock()
  local got = redis.call('HMGET', m, 'status', 'tenant')
  if not got[1] then return {} end
  if got[1] == 'in_progress' then
    redis.call('HSET', m, 'status', 'cancelling', 'cancelling_at', text(time))
    unring('batch', got[2], work(a[2]))
    redis.call('ZADD', KEYS[1], text(time), a[2])
  end
  return run.get(a)
end

function run.due()
  local time, out = clock(), {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(time), 'LIMIT', 0, 100)) do
    local m = meta(id)
    local got = redis.call('HMGET', m, 'status', 'tenant')
    if not got[1] or got[1] == 'validating' then
      discard(id)
    else
      if got[1] == 'in_progress' then
        redis.call('HSET', m, 'status', 'finalizing', 'finalizing_at', text(time))
        unring('batch', got[2], work(id))
      end
      out[#out + 1] = id
    end
  end
  return out
end

-- id count
function run.unfinished(a)
  local m, out, time = meta(a[2]), {}, clock()
  local got = redis.call('HMGET', m, 'status', 'tenant')
  if got[1] ~= 'finalizing' and got[1] ~= 'cancelling' then return out end
  local name = work(a[2])
  for _, entry in ipairs(redis.call('XRANGE', prefix .. name, '-', '+', 'COUNT', a[3])) do
    out[#out + 1] = describe('batch', got[2], name, entry[1], entry[2], 0, time)
  end
  if #out == 0 then finish(a[2], time) end
  return out
end

-- lane consumer want
function run.take(a)
  local lane, consumer, want, time, out = a[2], a[3], tonumber(a[4]), clock(), {}
  local outer = prefix .. 'ring:' .. lane
  while #out < want do
    local tenant = redis.call('LMOVE', outer, outer, 'LEFT', 'RIGHT')
    if not tenant then break end
    local inner = outer .. ':' .. tenant
    local name = redis.call('LMOVE', inner, inner, 'LEFT', 'RIGHT')
    if not name then
      redis.call('LREM', outer, 0, tenant)
    else
      local got = redis.pcall('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', 1, 'STREAMS', prefix .. name, '>')
      if not got or got.err then
        unring(lane, tenant, name)
      else
        local entry = got[1][2][1]
        out[#out + 1] = describe(lane, tenant, name, entry[1], entry[2], 1, time)
      end
    end
  end
  if #out < want then redis.call('DEL', prefix .. 'bell:' .. lane) end
  return out
end

local function streams(lane)
  local names = {}
  if lane == 'live' then
    for _, tenant in ipairs(redis.call('SMEMBERS', prefix .. 'live')) do names[#names + 1] = { tenant, 'l:' .. tenant } end
  else
    for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
      local got = redis.call('HMGET', meta(id), 'status', 'tenant')
      if got[1] == 'in_progress' then names[#names + 1] = { got[2], work(id) } end
    end
  end
  return names
end

-- The clock is noted once a second. If it was set back, what is pending looks as if it were taken in the future: a dead worker's chunks
-- would be nobody's for as long as the step was, and the worker counted as present. Leases start again now.
local function mend_clock(time)
  local key = prefix .. 'clock'
  local seen = tonumber(redis.call('GET', key) or 0)
  if math.abs(time - seen) <= CLOCK_MS then return end
  redis.call('SET', key, text(time), 'PX', CLOCK_KEPT_MS)
  if time > seen then return end
  redis.call('DEL', prefix .. 'present')
  for _, lane in ipairs({ 'live', 'batch' }) do
    for _, named in ipairs(streams(lane)) do
      local stream, start = prefix .. named[2], '-'
      repeat
        local page = redis.pcall('XPENDING', stream, GROUP, start, '+', 1000)
        if page.err then break end
        for _, pending in ipairs(page) do
          redis.call('XCLAIM', stream, GROUP, pending[2], 0, pending[1], 'TIME', text(time), 'JUSTID')
          start = '(' .. pending[1]
        end
      until #page < 1000
    end
  end
end

-- lane consumer want lease_ms rotation
function run.reclaim(a)
  local lane, consumer, want, lease, time, out = a[2], a[3], tonumber(a[4]), a[5], clock(), {}
  mend_clock(time)
  local names = streams(lane)
  for i = 1, #names do
    local tenant, name = unpack(names[(i + a[6]) % #names + 1])
    if #out >= want then break end
    local idle = redis.pcall('XPENDING', prefix .. name, GROUP, 'IDLE', lease, '-', '+', want - #out)
    if idle.err then
      if lane == 'live' then drop_live_if_empty(tenant) end
      idle = {}
    end
    for _, pending in ipairs(idle) do
      local entry = redis.call('XCLAIM', prefix .. name, GROUP, consumer, lease, pending[1])[1]
      if entry then
        local suspect, strikes = suspicion(name, pending[1])
        out[#out + 1] = describe(lane, tenant, name, entry[1], entry[2], pending[4] + 1, time, suspect, strikes)
      end
    end
  end
  return out
end

-- consumer {name message}*: 1 for each that is still ours
function run.renew(a)
  local out = {}
  for i = 3, #a, 2 do
    local ours = owned(a[i], a[i + 1], a[2])
    if ours then redis.call('XCLAIM', prefix .. a[i], GROUP, a[2], 0, a[i + 1], 'JUSTID') end
    out[#out + 1] = ours and 1 or 0
  end
  return out
end

-- consumer {lane tenant name message}*
function run.release(a)
  for i = 3, #a, 4 do
    local lane, tenant, name, message = a[i], a[i + 1], a[i + 2], a[i + 3]
    local key = prefix .. name
    if owned(name, message, a[2]) then
      local entry = redis.call('XRANGE', key, message, message)[1]
      if entry then
        redis.call('XADD', key, '*', unpack(entry[2]))
        redis.call('XDEL', key, message)
        if lane == 'live' or redis.call('HGET', meta(string.sub(name, 3, -3)), 'status') == 'in_progress' then
          ring(lane, tenant, name)
          bell(lane, 1)
        end
      end
      redis.call('XACK', key, GROUP, message)
      redis.call('HDEL', key .. ':j', message)
    end
  end
  return 'ok'
end

-- name message place
function run.note(a)
  local key = prefix .. a[2] .. ':j'
  if redis.call('EXISTS', prefix .. a[2]) == 1 then
    redis.call('HSET', key, a[3], a[4])
    redis.call('PEXPIRE', key, math.max(1, redis.call('PTTL', prefix .. a[2])))
  end
  return 'ok'
end

local function commit_batch(name, message, id, number, items, failed, bytes, payload, time)
  local m, effect = meta(id), 'duplicate'
  local status = redis.call('HGET', m, 'status')
  if not status then return 'gone' end
  if ENDS[status] and redis.call('HSETNX', m .. ':r', number, payload) == 1 then
    effect = 'new'
    redis.call('RPUSH', m .. ':d', number)
    local scored = redis.call('HINCRBY', m, 'completed', items - failed)
    local done = scored + redis.call('HINCRBY', m, 'failed', failed)
    redis.call('HINCRBY', m, 'bytes', 0 - bytes)
    local got = redis.call('HMGET', m, 'total', 'newer_at', 'newer_done')
    if done == tonumber(items) then
      redis.call('PEXPIRE', m .. ':r', redis.call('PTTL', m))
      redis.call('PEXPIRE', m .. ':d', redis.call('PTTL', m))
    end
    if not got[2] or time - got[2] >= MARK_MS then
      redis.call('HSET', m, 'older_at', got[2] or text(time), 'older_done', got[3] or text(done), 'newer_at',
        text(time), 'newer_done', text(done))
    end
    if done >= tonumber(got[1]) then finish(id, time) end
  end
  redis.pcall('XACK', prefix .. name, GROUP, message)
  redis.call('XDEL', prefix .. name, message)
  redis.call('HDEL', prefix .. name .. ':j', message)
  return effect
end

local function commit_live(name, message, tenant, call, number, reply, payload)
  if redis.call('XDEL', prefix .. name, message) == 0 then return 'duplicate' end
  redis.pcall('XACK', prefix .. name, GROUP, message)
  redis.call('HDEL', prefix .. name .. ':j', message)
  local key = prefix .. 'a:' .. reply
  redis.call('XADD', key, '*', 'c', call, 'n', number, 'p', payload)
  redis.call('PEXPIRE', key, 600000)
  drop_live_if_empty(tenant)
  return 'new'
end

-- {lane tenant name message job number items failed bytes reply payload}*
function run.commit(a)
  local time, out = clock(), {}
  for i = 2, #a, 11 do
    if a[i] == 'live' then
      out[#out + 1] = commit_live(a[i + 2], a[i + 3], a[i + 1], a[i + 4], a[i + 5], a[i + 9], a[i + 10])
    else
      out[#out + 1] = commit_batch(a[i + 2], a[i + 3], a[i + 4], a[i + 5], a[i + 6], a[i + 7], a[i + 8], a[i + 10], time)
    end
  end
  return out
end

-- tenant reply deadline_ms capacity {call number items payload}*
function run.ask(a)
  local tenant, key, held, out = a[2], prefix .. 'l:' .. a[2], 0, {}
  for _, other in ipairs(redis.call('SMEMBERS', prefix .. 'live')) do held = held + redis.call('XLEN', prefix .. 'l:' .. other) end
  if held + (#a - 5) / 4 > tonumber(a[5]) then return 'full' end
  if redis.call('EXISTS', key) == 0 then redis.call('XGROUP', 'CREATE', key, GROUP, '0', 'MKSTREAM') end
  redis.call('SADD', prefix .. 'live', tenant)
  local until_ = text(clock() + a[4])
  for i = 6, #a, 4 do
    out[#out + 1] = redis.call('XADD', key, '*', 'c', a[i], 'n', a[i + 1], 'i', a[i + 2], 'p', a[i + 3], 'a', a[3], 'x', until_)
  end
  expire_later(key, text(a[4] + 600000))
  ring('live', tenant, 'l:' .. tenant)
  bell('live', #out)
  return out
end

-- tenant {message}*
function run.withdraw(a)
  local key = prefix .. 'l:' .. a[2]
  for i = 3, #a do
    redis.pcall('XACK', key, GROUP, a[i])
    redis.call('XDEL', key, a[i])
  end
  drop_live_if_empty(a[2])
  return 'ok'
end

-- tenant {message}*
function run.missing(a)
  local out = {}
  for i = 3, #a do
    if #redis.call('XRANGE', prefix .. 'l:' .. a[2], a[i], a[i], 'COUNT', 1) == 0 then out[#out + 1] = a[i] end
  end
  return out
end

local function depth_of(key)
  local pending = redis.pcall('XPENDING', key, GROUP)
  return redis.call('XLEN', key), pending.err == nil and pending[1] or 0
end

function run.depth()
  local sums = { 0, 0, 0, 0 }
  local function add(at, key)
    local chunks, held = depth_of(key)
    sums[at], sums[at + 1] = sums[at] + chunks, sums[at + 1] + held
  end
  for _, tenant in ipairs(redis.call('SMEMBERS', prefix .. 'live')) do add(1, prefix .. 'l:' .. tenant) end
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if redis.call('HGET', meta(id), 'status') ~= 'validating' then add(3, prefix .. work(id)) end
  end
  return sums
end

-- consumer processes ttl_ms
function run.present(a)
  local key, time, sum = prefix .. 'present', clock(), 0
  if a[3] == '0' then
    redis.call('HDEL', key, a[2])
  else
    redis.call('HSET', key, a[2], a[3] .. ' ' .. text(time + a[4]))
    redis.call('PEXPIRE', key, a[4])
  end
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local processes, expires = string.match(all[i + 1], '(%d+) (%d+)')
    if tonumber(expires) < time then redis.call('HDEL', key, all[i]) else sum = sum + processes end
  end
  return sum
end

return run[ARGV[1]](ARGV)

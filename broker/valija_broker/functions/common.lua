-- What the functions of one library share. It stands before them when the library is put together
-- (layout.py, `library`), so these locals are theirs and no caller's.
--
-- Three habits hold everywhere. A function validates and reads first and writes last, because a script that
-- fails keeps what it had written. Every key is under the shard's hash tag, so a call stays in one slot. Numbers
-- become text through `text`: the `..` of Lua 5.1 writes 14 digits and would garble a score.

local DATA_VERSION = 3 -- of the data layout; goes up when a broker would misread what another one writes
local CLOCK_BOUND_MS = 5000 -- how far a caller's clock may be from the server's before it is refused
local PRIORITY_STEP = 281474976710656 -- 2^48: a score is priority * step + sequence, exact up to 2^53
local PRIORITY_LAST = 2 -- routine
local REQUEUED_MAX = 100 -- lapsed leases put back by one call: work per call is bounded (a busy server answers nobody)
local EXAMINED_MAX = 1000 -- pointers looked at by one call, for the same reason
local OWN_SCANNED_MAX = 256 -- open leases searched for the caller's own, newest first
local DEADLINE_MAX_MS = 86400000 -- the longest lease or delay; a deadline beyond it is a flipped bit, and has lapsed

-- What of a message never changes. The append-only file has no checksum, so these are kept with a sum (`sum`) and
-- compared before anything is decided or told by them; note, body and acceptance are in `sha`, which the broker compares.
local FIXED = { 'sha', 'from', 'id', 'digest', 'subject', 'priority', 'expires', 'time', 'size', 'to' }

local function text(number)
  return string.format('%.0f', number)
end

-- '{s0}:clock' -> '{s0}:'
local function prefix_of(key)
  local prefix = string.match(key, '^{s%d+}:')
  assert(prefix, 'a key outside the shard: ' .. key)
  return prefix
end

-- The time of this call: the caller's, never behind the shard's last one, never far from the server's.
-- Returns the time, or nil and the reply that refuses the call. Field `lifted` of the clock lifts the bound, so
-- that a simulation can drive these very functions. A last time that is itself over the bound ahead (a host
-- whose clock was wrong and is right again) is not followed: leases would not lapse until that day came.
local function time_of(clock, now)
  local known = redis.call('HMGET', clock, 'last', 'lifted')
  local last = tonumber(known[1] or '0')
  if not known[2] then
    local server = redis.call('TIME')
    local server_ms = tonumber(server[1]) * 1000 + math.floor(tonumber(server[2]) / 1000)
    if math.abs(now - server_ms) > CLOCK_BOUND_MS then
      return nil, redis.error_reply('CLOCK the caller is ' .. text(now - server_ms) .. ' ms from the server')
    end
    if last - server_ms > CLOCK_BOUND_MS then
      last = 0
    end
  end
  return math.max(now, last), nil
end

local function score_of(priority, sequence)
  return text(priority * PRIORITY_STEP + sequence)
end

-- A sum over texts and where each of them ends.
local function sum_of(fields)
  local parts = {}
  for n, field in ipairs(fields) do
    parts[n] = #field .. ':' .. field
  end
  return redis.sha1hex(table.concat(parts))
end

-- The fixed fields of a message, with priority, expires and size as numbers; nil when there is no such message, false
-- when a bit of them was altered: then nothing may be told or decided by them.
local function fixed(message)
  local found = redis.call('HMGET', message, 'sum', unpack(FIXED))
  local m, values, any = {}, {}, found[1]
  for n, name in ipairs(FIXED) do
    any = any or found[n + 1]
    values[n] = found[n + 1] or ''
    m[name] = values[n]
  end
  if not any then
    return nil
  end
  if sum_of(values) ~= found[1] then
    return false
  end
  m.priority, m.expires, m.size = tonumber(m.priority), tonumber(m.expires), tonumber(m.size)
  return m
end

-- A counter that a flipped bit made unreadable begins again: counters bound and inform, no mail rests on one.
local function add(key, field, by)
  local total = redis.pcall('HINCRBY', key, field, text(by))
  if type(total) == 'table' then
    total = math.max(by, 0)
    redis.call('HSET', key, field, text(total))
  end
  return total
end

-- One entry of the outbox. `sum` guards it against a flipped byte: the append-only file has no checksum.
local function emit(outbox, e)
  redis.call('XADD', outbox, '*', 'event', e.event, 'from', e.from, 'to', e.to, 'subject', e.subject,
    'time', text(e.time), 'directory', e.directory, 'reason', e.reason, 'salt', e.salt, 'key', e.key,
    'note', e.note, 'headline', e.headline or '', 'sum',
    sum_of({ e.event, e.from, e.to, e.subject, text(e.time), e.directory, e.reason, e.salt, e.key, e.note,
      e.headline or '' }))
end

-- One recipient is done with a message (`m`, its fixed fields): pointer, quota and fields go, and with the last
-- recipient the message. Who is left is read from the fields themselves; a counter could be wrong.
local function settle(prefix, sequence, to, m)
  local message = prefix .. 'm:' .. sequence
  redis.call('ZREM', prefix .. 'r:' .. to, sequence)
  redis.call('ZREM', prefix .. 'l:' .. to, sequence)
  redis.call('ZREM', prefix .. 'dead:' .. to, sequence)
  local quota = prefix .. 'q:' .. m.from .. '|' .. to
  add(quota, 'bytes', -m.size)
  if add(quota, 'messages', -1) <= 0 then
    redis.call('DEL', quota)
  end
  redis.call('HDEL', message, 'a:' .. to, 't:' .. to, 'i:' .. to, 'h:' .. to, 'e:' .. to)
  for other in string.gmatch(m.to, '%S+') do
    if redis.call('HGET', message, 'a:' .. other) then
      return
    end
  end
  redis.call('DEL', message)
  redis.call('ZREM', prefix .. 'x', sequence)
  local stored = prefix .. 'u:' .. m.from
  if add(stored, 'bytes', -m.size) <= 0 then
    redis.call('DEL', stored)
  end
end

-- An altered message lies with the dead letters for a person to look at. There is no event: whatever one said of it
-- could be wrong.
local function set_aside(prefix, sequence, to, now)
  redis.call('ZREM', prefix .. 'r:' .. to, sequence)
  redis.call('ZREM', prefix .. 'l:' .. to, sequence)
  redis.call('ZADD', prefix .. 'dead:' .. to, text(now), sequence)
  redis.call('HSET', prefix .. 'm:' .. sequence, 'e:' .. to, 'altered')
end

-- A message of this recipient goes to the dead letters, where it stays until a person or `expires` settles it.
local function bury(prefix, sequence, to, now, e)
  redis.call('ZREM', prefix .. 'r:' .. to, sequence)
  redis.call('ZREM', prefix .. 'l:' .. to, sequence)
  redis.call('ZADD', prefix .. 'dead:' .. to, text(now), sequence)
  redis.call('HSET', prefix .. 'm:' .. sequence, 'e:' .. to, e.reason)
  e.event, e.to, e.time, e.key, e.note = 'DeadLettered', to, now, '', ''
  emit(prefix .. 'outbox', e)
end

-- A lease ended early after the message's end: `expire` had put the message off until that lease's deadline, and may
-- look at it again at once.
local function recheck(prefix, sequence, expires, now)
  if expires <= now then
    redis.call('ZADD', prefix .. 'x', text(expires), sequence)
  end
end

-- 'gone' when there is no pointer of this recipient (or never was one, or it is another's: all look the same),
-- 'stale' when the token is not the current one of its pointer, nil when it is.
local function refusal(message, to, token)
  local known = redis.call('HMGET', message, 'a:' .. to, 't:' .. to)
  if not known[1] then
    return 'gone'
  end
  if known[2] ~= token then
    return 'stale'
  end
  return nil
end

local function wake(prefix, payload)
  redis.call('PUBLISH', prefix .. 'wake', payload)
end

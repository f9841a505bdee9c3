-- expire_3: settle messages whose `expires` has passed.
--
-- Purpose  Reads the time-ordered index. A recipient who holds an open lease is left to finish it, and the message
--          is looked at again at that deadline; every other one gets a ContentHandoverFailure event, and pointer
--          and quota go (ready, lapsed, waiting and dead letters alike); with the last one the message. One that was
--          altered is not settled, since nothing true can be told of it: it leaves the index, and is counted.
-- KEYS     clock, outbox, x. Also m:<sequence> and the queues and quotas of its recipients, same slot.
-- ARGV     1: msgpack {now, directory, limit, salts, reasons}. `limit`: messages looked at, 100 at most. `salts`:
--          one an event; when they run out the rest waits for the next call. `reasons`: reason by mailbox where it
--          is not 'expired' (suspended, held).
-- Returns  {events written, 1 when there is more to do now else 0, altered messages}
-- Flags    allow-oom: a full memory must drain.

local function expire(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, outbox, index = keys[1], keys[2], keys[3]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  assert(type(call.directory) == 'string' and type(call.salts) == 'table' and type(call.reasons) == 'table', 'expire')
  local limit = math.min(call.limit, 100)
  local due = redis.call('ZRANGE', index, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, limit)
  local used, short, altered = 0, false, 0
  for _, sequence in ipairs(due) do
    local message = prefix .. 'm:' .. sequence
    local m = fixed(message)
    local again, shares = nil, 0
    if m then
      for to in string.gmatch(m.to, '%S+') do
        local known = redis.call('HMGET', message, 'a:' .. to, 't:' .. to)
        if known[1] then
          shares = shares + 1
          local deadline = known[2] and tonumber(redis.call('ZSCORE', prefix .. 'l:' .. to, sequence) or '0') or 0
          if deadline > now and deadline <= now + DEADLINE_MAX_MS then
            again = math.min(again or deadline, deadline)
          elseif used >= #call.salts then
            short = true
            break
          else
            used = used + 1
            emit(outbox, { event = 'ContentHandoverFailure', from = m.from, to = to, subject = m.subject, time = now,
              directory = call.directory, reason = call.reasons[to] or 'expired', salt = call.salts[used],
              key = '', note = '' })
            settle(prefix, sequence, to, m)
          end
        end
      end
    end
    if short then
      break
    end
    if shares == 0 then -- altered, or an entry of nothing
      redis.call('ZREM', index, sequence)
      altered = altered + (m == nil and 0 or 1)
    elseif again then
      redis.call('ZADD', index, text(again), sequence)
    end
  end
  if #due > 0 then
    redis.call('HSET', clock, 'last', text(now))
  end
  if used > 0 then
    wake(prefix, 'o')
  end
  return { used, (short or #due == limit) and 1 or 0, altered }
end

redis.register_function({ function_name = 'expire_3', callback = expire, flags = { 'allow-oom' } })

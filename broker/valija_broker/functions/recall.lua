-- recall_3: end all leases of a mailbox, uncounted (its contact point is suspended or held).
--
-- Purpose  Every lease with a token, open or lapsed, goes back to ready with its attempt given back and its token
--          ended, so that time under suspension is held against nobody.
-- KEYS     clock, r:<mailbox>, l:<mailbox>. Also x and m:<sequence>, same slot.
-- ARGV     1: msgpack {now, mailbox}
-- Returns  how many leases are left to look at, 0 when all are done: call again
-- Flags    allow-oom: a full memory must drain.

local function recall(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, ready, leased = keys[1], keys[2], keys[3]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  local mailbox = call.mailbox
  for _, sequence in ipairs(redis.call('ZRANGE', leased, 0, REQUEUED_MAX - 1)) do
    local message = prefix .. 'm:' .. sequence
    local m, known = fixed(message), redis.call('HMGET', message, 'a:' .. mailbox, 't:' .. mailbox)
    redis.call('ZREM', leased, sequence)
    if m == false then
      set_aside(prefix, sequence, mailbox, now)
    elseif m and known[1] then
      recheck(prefix, sequence, m.expires, now)
      if known[2] and (tonumber(known[1]) or 0) > 0 then
        redis.call('HINCRBY', message, 'a:' .. mailbox, -1)
      end
      redis.call('HDEL', message, 't:' .. mailbox, 'i:' .. mailbox)
      redis.call('ZADD', ready, score_of(m.priority, tonumber(sequence)), sequence)
    end
  end
  redis.call('HSET', clock, 'last', text(now))
  return redis.call('ZCARD', leased)
end

redis.register_function({ function_name = 'recall_3', callback = recall, flags = { 'allow-oom' } })

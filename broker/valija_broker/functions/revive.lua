-- revive_3: an operator sends dead letters of a mailbox back to its queue.
--
-- Purpose  Each becomes ready at its old place with its attempts at zero.
-- KEYS     clock, r:<mailbox>, dead:<mailbox>. Also m:<sequence>, same slot.
-- ARGV     1: msgpack {now, mailbox, sequences}
-- Returns  how many were revived
-- Flags    allow-oom: a full memory must drain.

local function revive(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, ready, dead = keys[1], keys[2], keys[3]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  local mailbox, revived = call.mailbox, 0
  for _, sequence in ipairs(call.sequences) do
    local message = prefix .. 'm:' .. sequence
    local m = fixed(message)
    if m and redis.call('ZREM', dead, sequence) == 1 then
      redis.call('HDEL', message, 't:' .. mailbox, 'i:' .. mailbox, 'e:' .. mailbox)
      redis.call('HSET', message, 'a:' .. mailbox, 0)
      redis.call('ZADD', ready, score_of(m.priority, tonumber(sequence)), sequence)
      revived = revived + 1
    end
  end
  if revived > 0 then
    redis.call('HSET', clock, 'last', text(now))
    wake(prefix, 'm ' .. mailbox)
  end
  return revived
end

redis.register_function({ function_name = 'revive_3', callback = revive, flags = { 'allow-oom' } })

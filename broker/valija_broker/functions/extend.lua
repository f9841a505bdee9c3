-- extend_3: a worker needs longer for messages that it holds.
--
-- Purpose  The lease of each current token ends `lease_ms` from now; a lapsed one that nobody took is taken up again.
-- KEYS     clock, r:<mailbox>, l:<mailbox>, dead:<mailbox>. Also m:<sequence>, same slot.
-- ARGV     1: msgpack {now, mailbox, lease_ms}; 2..: msgpack {token, sequence}
-- Returns  for each: 'extended' | 'gone' | 'stale' (also of a dead letter)
-- Flags    allow-oom: a full memory must drain.

local function extend(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, ready, leased, dead = keys[1], keys[2], keys[3], keys[4]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  assert(type(call.lease_ms) == 'number', 'lease_ms')
  local batch = {}
  for n = 2, #args do
    batch[#batch + 1] = cmsgpack.unpack(args[n])
  end

  local answers, wrote = {}, false
  for n, e in ipairs(batch) do
    local answer = refusal(prefix .. 'm:' .. e.sequence, call.mailbox, e.token)
    if not answer and redis.call('ZSCORE', dead, e.sequence) then
      answer = 'stale'
    end
    if not answer then
      redis.call('ZREM', ready, e.sequence)
      redis.call('ZADD', leased, text(now + call.lease_ms), e.sequence)
      answer, wrote = 'extended', true
    end
    answers[n] = answer
  end
  if wrote then
    redis.call('HSET', clock, 'last', text(now))
  end
  return answers
end

redis.register_function({ function_name = 'extend_3', callback = extend, flags = { 'allow-oom' } })

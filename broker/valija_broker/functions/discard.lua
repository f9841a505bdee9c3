-- discard_3: an approved discard of dead letters, final and told to both sides.
--
-- Purpose  Each gets a ContentHandoverFailure event with the reason; pointer and quota go, with the last recipient
--          the message. Only dead letters can be discarded.
-- KEYS     clock, outbox, dead:<mailbox>. Also m:<sequence> and q:<from>|<mailbox>, same slot.
-- ARGV     1: msgpack {now, mailbox, directory, reason, sequences, salts}, a salt for each sequence
-- Returns  how many were discarded
-- Flags    allow-oom: a full memory must drain.

local function discard(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, outbox, dead = keys[1], keys[2], keys[3]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  assert(#call.salts >= #call.sequences and type(call.reason) == 'string' and type(call.directory) == 'string', 'discard')
  local discarded = 0
  for n, sequence in ipairs(call.sequences) do
    local m = fixed(prefix .. 'm:' .. sequence)
    if m and redis.call('ZSCORE', dead, sequence) then
      emit(outbox, { event = 'ContentHandoverFailure', from = m.from, to = call.mailbox, subject = m.subject, time = now,
        directory = call.directory, reason = call.reason, salt = call.salts[n], key = '', note = '' })
      settle(prefix, sequence, call.mailbox, m)
      discarded = discarded + 1
    end
  end
  if discarded > 0 then
    redis.call('HSET', clock, 'last', text(now))
    wake(prefix, 'o')
  end
  return discarded
end

redis.register_function({ function_name = 'discard_3', callback = discard, flags = { 'allow-oom' } })

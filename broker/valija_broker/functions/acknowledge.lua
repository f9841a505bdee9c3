-- acknowledge_3: recipients are done with messages of one mailbox; their receipts go to the outbox.
--
-- Purpose  By the current token of the mailbox's own pointer, also of a lapsed lease that nobody took since. The
--          pointer and its quota go, with the last recipient the message; the receipt enters the outbox with it.
-- KEYS     clock, outbox, r:<mailbox>, l:<mailbox>, dead:<mailbox>. Also m:<sequence> and q:<from>|<mailbox>,
--          same slot, found here.
-- ARGV     1: msgpack {now, mailbox}; 2..: msgpack {token, sequence, subject, event, note, time, directory, reason,
--          salt}, one a receipt.
-- Returns  for each: 'acknowledged' | 'gone' (no pointer of this mailbox, whatever the reason) | 'stale' (its
--          pointer, another token) | 'mismatch' (the receipt speaks of another message, or that was altered since;
--          nothing is done)
-- Flags    allow-oom: a full memory must drain.

local RECEIPTS = { ConsignmentAcceptance = true, ConsignmentRejection = true }

local function acknowledge(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, outbox = keys[1], keys[2]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  local mailbox, batch = call.mailbox, {}
  for n = 2, #args do
    local a = cmsgpack.unpack(args[n])
    for _, name in ipairs({ 'token', 'sequence', 'subject', 'note', 'directory', 'reason', 'salt' }) do
      assert(type(a[name]) == 'string', 'not a string: ' .. name)
    end
    assert(type(a.time) == 'number' and RECEIPTS[a.event], 'not a receipt')
    batch[#batch + 1] = a
  end

  local answers, wrote = {}, false
  for n, a in ipairs(batch) do
    local message = prefix .. 'm:' .. a.sequence
    local answer = refusal(message, mailbox, a.token)
    if not answer then
      local m = fixed(message)
      if not m or m.subject ~= a.subject then
        answer = 'mismatch'
      else
        settle(prefix, a.sequence, mailbox, m)
        emit(outbox, { event = a.event, from = m.from, to = mailbox, subject = a.subject, time = a.time,
          directory = a.directory, reason = a.reason, salt = a.salt, key = '', note = a.note })
        answer, wrote = 'acknowledged', true
      end
    end
    answers[n] = answer
  end
  if wrote then
    redis.call('HSET', clock, 'last', text(now))
    wake(prefix, 'o')
  end
  return answers
end

redis.register_function({ function_name = 'acknowledge_3', callback = acknowledge, flags = { 'allow-oom' } })

-- release_3: a worker gives messages back, now, later, or for good.
--
-- Purpose  The token ends. Without a delay the message is ready again at its old place, with one it waits among the
--          leased without a token until its time; `uncounted` gives the attempt back (the reply could not be
--          written); `dead` moves it to the dead letters with the reason.
-- KEYS     clock, outbox, r:<mailbox>, l:<mailbox>, dead:<mailbox>. Also x and m:<sequence>, same slot.
-- ARGV     1: msgpack {now, mailbox, directory}; 2..: msgpack {token, sequence, delay_ms, uncounted, dead, reason, salt}
-- Returns  for each: 'released' | 'gone' | 'stale' (also of a dead letter, and of a message that was altered)
-- Flags    allow-oom: a full memory must drain.

local function release(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, ready, leased, dead = keys[1], keys[3], keys[4], keys[5]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  local mailbox, batch = call.mailbox, {}
  for n = 2, #args do
    local r = cmsgpack.unpack(args[n])
    assert(type(r.delay_ms) == 'number' and type(r.reason) == 'string' and type(r.salt) == 'string', 'release')
    batch[#batch + 1] = r
  end

  local answers, wrote, woken, event = {}, false, false, false
  for n, r in ipairs(batch) do
    local message = prefix .. 'm:' .. r.sequence
    local answer = refusal(message, mailbox, r.token)
    local m = not answer and fixed(message)
    if not answer and (not m or redis.call('ZSCORE', dead, r.sequence)) then
      answer = 'stale'
    end
    if not answer then
      redis.call('HDEL', message, 't:' .. mailbox, 'i:' .. mailbox)
      recheck(prefix, r.sequence, m.expires, now)
      if r.dead then
        bury(prefix, r.sequence, mailbox, now, { from = m.from, subject = m.subject, directory = call.directory,
          reason = r.reason, salt = r.salt })
        event = true
      else
        if r.uncounted and (tonumber(redis.call('HGET', message, 'a:' .. mailbox)) or 0) > 0 then
          redis.call('HINCRBY', message, 'a:' .. mailbox, -1)
        end
        if r.delay_ms > 0 then
          redis.call('ZREM', ready, r.sequence)
          redis.call('ZADD', leased, text(now + r.delay_ms), r.sequence)
        else
          redis.call('ZREM', leased, r.sequence)
          redis.call('ZADD', ready, score_of(m.priority, tonumber(r.sequence)), r.sequence)
          woken = true
        end
      end
      answer, wrote = 'released', true
    end
    answers[n] = answer
  end
  if wrote then
    redis.call('HSET', clock, 'last', text(now))
  end
  if woken then
    wake(prefix, 'm ' .. mailbox)
  end
  if event then
    wake(prefix, 'o')
  end
  return answers
end

redis.register_function({ function_name = 'release_3', callback = release, flags = { 'allow-oom' } })

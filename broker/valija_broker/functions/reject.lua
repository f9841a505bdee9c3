-- reject_3: record the refusal of a verified submission, once.
--
-- Purpose  A SubmissionRejection event enters the outbox, unless the same one did within `keep_ms`. Nothing of the
--          message is stored, and its (from, id) stays free.
-- KEYS     clock, outbox, j:<SHA-256 of subject and reason>
-- ARGV     1: msgpack {now, events_max, keep_ms, from, subject, time, directory, reason, salt, key, note}
-- Returns  1 when it was recorded, 0 when it was known or the outbox is full
-- Flags    none: evidence of refusals must not take the last memory.

local function reject(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, outbox, known = keys[1], keys[2], keys[3]
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  for _, name in ipairs({ 'from', 'subject', 'directory', 'reason', 'salt', 'key', 'note' }) do
    assert(type(call[name]) == 'string', 'not a string: ' .. name)
  end
  assert(type(call.time) == 'number' and type(call.keep_ms) == 'number', 'numbers')
  if redis.call('GET', known) or redis.call('XLEN', outbox) >= call.events_max then
    return 0
  end
  redis.call('SET', known, '1', 'PX', text(call.keep_ms))
  emit(outbox, { event = 'SubmissionRejection', from = call.from, to = '', subject = call.subject, time = call.time,
    directory = call.directory, reason = call.reason, salt = call.salt, key = call.key, note = call.note })
  redis.call('HSET', clock, 'last', text(now))
  wake(prefix_of(clock), 'o')
  return 1
end

redis.register_function('reject_3', reject)

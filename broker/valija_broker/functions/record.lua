-- record_1: put an event in the outbox that changes no queue (a SubmissionRejection).
--
-- Purpose  A refusal of a message whose sender did sign it is evidence too. Repeats are told apart by the evidence
--          store, which knows an event by what it says.
-- KEYS     clock, outbox
-- ARGV     1: msgpack {now, events_max, event, from, subject, time, directory, reason, salt, key, note}
-- Returns  1, or 0 when the outbox is full: a refusal stands without its event, an acceptance would not
-- Flags    none: like accept, it is refused when memory is full.

local function record(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, outbox = keys[1], keys[2]
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  for _, name in ipairs({ 'event', 'from', 'subject', 'directory', 'reason', 'salt', 'key', 'note' }) do
    assert(type(call[name]) == 'string', 'not a string: ' .. name)
  end
  assert(type(call.time) == 'number', 'not a number: time')
  if redis.call('XLEN', outbox) >= call.events_max then
    return 0
  end
  emit(outbox, { event = call.event, from = call.from, to = '', subject = call.subject, time = call.time,
    directory = call.directory, reason = call.reason, salt = call.salt, key = call.key, note = call.note })
  redis.call('HSET', clock, 'last', text(now))
  wake(prefix_of(clock), 'o')
  return 1
end

redis.register_function('record_1', record)

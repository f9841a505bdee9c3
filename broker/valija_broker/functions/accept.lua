-- accept_3: store a batch of submissions, each once, for all its recipients.
--
-- Purpose  The same (from, id) with the same digest gets the first answer, with another digest a conflict and the
--          first answer; a pair or a sender over its quota, a sender over its rate or a full outbox refuses that
--          submission and stores nothing of it; else message, pointers, deduplication record and the
--          SubmissionAcceptance event are written together.
-- KEYS     clock, seq, outbox, x; then for each submission d:<from>|<id>, and for each of its recipients
--          r:<to> and q:<from>|<to>. Also written: m:<sequence>, rate:<from> and u:<from>, same slot, known only here.
-- ARGV     1: msgpack {now, events_max, quota_messages, quota_bytes, rate_max, sender_bytes}; no limit where
--          one of the last two is missing;
--          2..: msgpack {from, id, digest, record, note, body, sha, accepted, subject, priority, expires, forget,
--          time, to, salt, directory, key, headline}, one a submission. `digest` is 32 bytes, `record` starts with it;
--          `headline` goes into the event alone.
-- Returns  for each: {'accepted'} | {'repeat', record} | {'conflict', record} | {'quota', to...} | {'busy'}
--          | {'rate', ms until the next minute begins}; no `to` where the quota is the sender's
-- Flags    none: it is refused when memory is full, so that what drains memory still has room.

local STRINGS = { 'from', 'id', 'digest', 'record', 'note', 'body', 'sha', 'accepted', 'subject', 'salt', 'directory', 'key',
  'headline' }
local NUMBERS = { 'priority', 'expires', 'forget', 'time' }

local MINUTE_MS = 60000

-- How many messages of a sender the minute `minute` has taken. The key holds which minute it counts, so that it says the
-- right thing even where its expiry goes by another clock than `now` does.
local function taken(key, minute)
  local counted, count = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
  return counted == minute and tonumber(count) or 0
end

local function accept(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, seq, outbox, index = keys[1], keys[2], keys[3], keys[4]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end

  local batch, at = {}, 5
  for n = 2, #args do
    local s = cmsgpack.unpack(args[n])
    for _, name in ipairs(STRINGS) do
      assert(type(s[name]) == 'string', 'not a string: ' .. name)
    end
    for _, name in ipairs(NUMBERS) do
      assert(type(s[name]) == 'number', 'not a number: ' .. name)
    end
    assert(s.priority >= 0 and s.priority <= 15, 'priority out of range')
    assert(#s.digest == 32 and string.sub(s.record, 1, 32) == s.digest, 'record and digest differ')
    assert(#s.to >= 1 and #s.to <= 64, 'number of recipients')
    s.dedup, s.ready, s.quota = keys[at], {}, {}
    at = at + 1
    for r = 1, #s.to do
      s.ready[r], s.quota[r] = keys[at], keys[at + 1]
      at = at + 2
    end
    s.size = #s.note + #s.body
    batch[#batch + 1] = s
  end
  assert(at == #keys + 1, 'number of keys')

  -- From here on nothing can fail: one submission is read, decided and written before the next, so that two
  -- with one id in a batch see each other.
  local answers, woken, events = {}, {}, redis.call('XLEN', outbox)
  local minute, rates, rate_max = math.floor(now / MINUTE_MS), {}, call.rate_max or math.huge
  for n, s in ipairs(batch) do
    local first, rate = redis.call('GET', s.dedup), prefix .. 'rate:' .. s.from
    rates[rate] = rates[rate] or taken(rate, text(minute))
    if first then
      answers[n] = { string.sub(first, 1, 32) == s.digest and 'repeat' or 'conflict', first }
    elseif events >= call.events_max then
      answers[n] = { 'busy' }
    elseif rates[rate] >= rate_max then
      answers[n] = { 'rate', text((minute + 1) * MINUTE_MS - now) }
    else
      local over, stored = { 'quota' }, prefix .. 'u:' .. s.from
      local held = tonumber(redis.call('HGET', stored, 'bytes') or '0') or 0
      for r, to in ipairs(s.to) do
        local used = redis.call('HMGET', s.quota[r], 'messages', 'bytes')
        local messages, bytes = (tonumber(used[1] or '0') or 0) + 1, (tonumber(used[2] or '0') or 0) + s.size
        if messages > call.quota_messages or bytes > call.quota_bytes then
          over[#over + 1] = to
        end
      end
      if #over > 1 or held + s.size > (call.sender_bytes or math.huge) then
        answers[n] = over
      else
        local number = redis.call('INCR', seq)
        while redis.call('HGET', prefix .. 'm:' .. text(number), 'sum') do
          number = redis.call('INCR', seq) -- a counter that lost a step must not write over a message
        end
        local sequence, size = text(number), text(s.size)
        local numbers = { text(s.priority), text(s.expires), text(s.time) }
        local fields = { 'note', s.note, 'body', s.body, 'sha', s.sha, 'from', s.from, 'id', s.id,
          'digest', s.digest, 'subject', s.subject, 'accepted', s.accepted, 'priority', numbers[1],
          'expires', numbers[2], 'time', numbers[3], 'size', size, 'to', table.concat(s.to, ' '),
          'sum', sum_of({ s.sha, s.from, s.id, s.digest, s.subject, numbers[1], numbers[2], numbers[3], size,
            table.concat(s.to, ' ') }) }
        for r, to in ipairs(s.to) do
          fields[#fields + 1] = 'a:' .. to
          fields[#fields + 1] = '0'
          redis.call('ZADD', s.ready[r], score_of(s.priority, number), sequence)
          add(s.quota[r], 'messages', 1)
          add(s.quota[r], 'bytes', s.size)
          woken[to] = true
        end
        add(stored, 'bytes', s.size)
        redis.call('HSET', prefix .. 'm:' .. sequence, unpack(fields))
        redis.call('ZADD', index, text(s.expires), sequence)
        redis.call('SET', s.dedup, s.record, 'PXAT', text(s.forget))
        emit(outbox, { event = 'SubmissionAcceptance', from = s.from, to = '', subject = s.subject, time = s.time,
          directory = s.directory, reason = '', salt = s.salt, key = s.key, note = s.accepted,
          headline = s.headline })
        events = events + 1
        rates[rate] = rates[rate] + 1
        answers[n] = { 'accepted' }
      end
    end
  end

  for rate, count in pairs(rates) do
    if count > 0 then
      redis.call('SET', rate, text(minute) .. ' ' .. text(count), 'PXAT', text((minute + 1) * MINUTE_MS))
    end
  end

  -- Written even when all were repeats: WAITAOF waits for the last write of its own connection, and on a fresh
  -- connection that has written nothing it would answer at once for data it knows nothing of.
  redis.call('HSET', clock, 'last', text(now))
  local any = false
  for to in pairs(woken) do
    wake(prefix, 'm ' .. to)
    any = true
  end
  if any then
    wake(prefix, 'o')
  end
  return answers
end

redis.register_function('accept_3', accept)

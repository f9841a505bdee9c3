-- lease_3: lend the next messages of a mailbox in this shard to one worker.
--
-- Purpose  Lapsed leases go back to their old places, ahead of everything newer of their priority. Then the
--          caller's own open leases that it does not have (a reply was lost) are given again, uncounted and under
--          the same token; then what is ready, by priority and age. A message whose attempts are used up goes to
--          the dead letters. The first delivery to a recipient is a ContentHandover event. A message past
--          `expires` is not handed out; `expire` settles it.
-- KEYS     clock, outbox, r:<mailbox>, l:<mailbox>, dead:<mailbox>. Also m:<sequence>, same slot, found here.
-- ARGV     1: msgpack {now, mailbox, instance, have, limit, bytes_max, must, lease_ms, attempts_max, priority_max,
--          shard, directory, randoms, salts}. `have`: tokens the caller holds. `must`: the first message is given
--          whatever its size. `randoms`: one 32-hex string a message; `salts`: 32 bytes an event; when either
--          runs out the batch ends.
-- Returns  {{token, attempt, deadline, note, body, sha, accepted, subject}...}; for a message whose fixed fields were
--          altered, and which now lies with the dead letters, {'', 0, 0, sequence, '', '', '', ''}
-- Flags    allow-oom: a full memory must drain.

local function lease(keys, args)
  local call = cmsgpack.unpack(args[1])
  local clock, outbox, ready, leased = keys[1], keys[2], keys[3], keys[4]
  local prefix = prefix_of(clock)
  local now, refused = time_of(clock, call.now)
  if refused then
    return refused
  end
  local mailbox, limit, room, must = call.mailbox, call.limit, call.bytes_max, call.must
  assert(type(mailbox) == 'string' and type(call.instance) == 'string' and type(call.directory) == 'string', 'strings')
  assert(type(limit) == 'number' and type(room) == 'number' and type(call.lease_ms) == 'number', 'numbers')
  assert(type(call.attempts_max) == 'number' and type(call.priority_max) == 'number', 'numbers')
  assert(type(call.randoms) == 'table' and type(call.salts) == 'table' and type(call.have) == 'table', 'lists')
  local attempts, token_of, instance_of = 'a:' .. mailbox, 't:' .. mailbox, 'i:' .. mailbox
  local handed = 'h:' .. mailbox
  local deadline = now + call.lease_ms
  local have = {}
  for _, token in ipairs(call.have) do
    have[token] = true
  end

  local given, altered, salts_used, wrote = {}, {}, 0, false
  local function aside(sequence)
    set_aside(prefix, sequence, mailbox, now)
    altered[#altered + 1] = { '', 0, 0, sequence, '', '', '', '' }
    wrote = true
  end

  -- Lapsed ones: back to ready, token kept, so that a late acknowledgement still counts until the next delivery.
  local lapsed = redis.call('ZRANGE', leased, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, REQUEUED_MAX)
  local never = redis.call('ZRANGE', leased, '(' .. text(now + DEADLINE_MAX_MS), '+inf', 'BYSCORE', 'LIMIT', 0, REQUEUED_MAX)
  for _, sequences in ipairs({ lapsed, never }) do
    for _, sequence in ipairs(sequences) do
      local m = fixed(prefix .. 'm:' .. sequence)
      redis.call('ZREM', leased, sequence)
      if m == false then
        aside(sequence)
      elseif m and redis.call('HGET', prefix .. 'm:' .. sequence, attempts) then
        redis.call('ZADD', ready, score_of(m.priority, tonumber(sequence)), sequence)
      end
      wrote = true
    end
  end

  local function hand(sequence, token, attempt)
    local m = redis.call('HMGET', prefix .. 'm:' .. sequence, 'note', 'body', 'sha', 'accepted', 'subject')
    room = room - (#(m[1] or '') + #(m[2] or ''))
    given[#given + 1] = { token, attempt, deadline, m[1] or '', m[2] or '', m[3] or '', m[4] or '', m[5] or '' }
    redis.call('ZADD', leased, text(deadline), sequence)
    wrote = true
  end
  local function fits(size)
    return size <= room or (must and #given == 0)
  end

  local own = {}
  local open = redis.call('ZRANGE', leased, '+inf', '(' .. text(now), 'BYSCORE', 'REV', 'LIMIT', 0, OWN_SCANNED_MAX)
  for _, sequence in ipairs(open) do
    local known = redis.call('HMGET', prefix .. 'm:' .. sequence, instance_of, token_of, attempts)
    if known[1] == call.instance and known[2] and not have[known[2]] then
      local m = fixed(prefix .. 'm:' .. sequence)
      if not m then
        aside(sequence)
      elseif m.priority <= call.priority_max and m.expires > now then
        own[#own + 1] = { sequence = sequence, token = known[2], size = m.size, attempt = tonumber(known[3]) or 1,
          score = m.priority * PRIORITY_STEP + tonumber(sequence) }
      end
    end
  end
  table.sort(own, function(a, b) return a.score < b.score end)
  local full = false
  for _, mine in ipairs(own) do
    if #given >= limit or not fits(mine.size) then
      full = true
      break
    end
    hand(mine.sequence, mine.token, mine.attempt)
  end

  -- Ready ones. Those taken or buried leave the set, so the next page starts after the ones that stay.
  local below = call.priority_max < PRIORITY_LAST and '(' .. score_of(call.priority_max + 1, 0) or '+inf'
  local examined, stay, fresh = 0, 0, 0
  while not full and examined < EXAMINED_MAX do
    local page = redis.call('ZRANGE', ready, '-inf', below, 'BYSCORE', 'LIMIT', stay, 64)
    if #page == 0 then
      break
    end
    for _, sequence in ipairs(page) do
      examined = examined + 1
      local m, known = fixed(prefix .. 'm:' .. sequence), redis.call('HMGET', prefix .. 'm:' .. sequence, attempts, handed)
      if m == false then
        aside(sequence)
      elseif not (m and known[1]) then
        redis.call('ZREM', ready, sequence) -- a pointer to nothing: of a store that was edited or altered
        wrote = true
      elseif m.expires <= now then
        stay = stay + 1
      else
        if #given >= limit or fresh >= #call.randoms or salts_used >= #call.salts then
          full = true
          break
        end
        local attempt = (tonumber(known[1]) or 0) + 1
        if attempt > call.attempts_max then
          salts_used = salts_used + 1
          bury(prefix, sequence, mailbox, now, { from = m.from, subject = m.subject, directory = call.directory,
            reason = 'attempts', salt = call.salts[salts_used] })
          wrote = true
        else
          if not fits(m.size) then
            full = true
            break
          end
          fresh = fresh + 1
          local token = call.shard .. '.' .. sequence .. '.' .. call.randoms[fresh]
          redis.call('ZREM', ready, sequence)
          redis.call('HSET', prefix .. 'm:' .. sequence, attempts, attempt, token_of, token,
            instance_of, call.instance, handed, 1)
          if not known[2] then
            salts_used = salts_used + 1
            emit(outbox, { event = 'ContentHandover', from = m.from, to = mailbox, subject = m.subject, time = now,
              directory = call.directory, reason = '', salt = call.salts[salts_used], key = '', note = '' })
          end
          hand(sequence, token, attempt)
        end
      end
    end
  end

  if wrote then
    redis.call('HSET', clock, 'last', text(now))
  end
  if salts_used > 0 then
    wake(prefix, 'o')
  end
  for _, row in ipairs(altered) do
    given[#given + 1] = row
  end
  return given
end

redis.register_function({ function_name = 'lease_3', callback = lease, flags = { 'allow-oom' } })

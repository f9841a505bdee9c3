-- publish_3: put the next root, directory or freshness note on the shelf, by compare-and-swap; or the holds.
--
-- Purpose  Versions go from N to N+1 and a version's note never changes. Freshness has no number and is replaced, and so
--          are all holds in force, together.
-- KEYS     heads, and the note's own key (root:<n>, directory:<n>, holds; heads again for freshness)
-- ARGV     'root' | 'directory' | 'freshness' | 'holds', number, note (of holds: their list)
-- Returns  'published' | 'same' (this very note is there) | 'conflict' (another note has this number) |
--          'gap' (N-1 is not there)
-- Flags    allow-oom: a revocation must get through when memory is full.

local function publish(keys, args)
  local heads, kind, number, note = keys[1], args[1], tonumber(args[2]), args[3]
  if kind == 'freshness' then
    redis.call('HSET', heads, 'freshness', note)
  elseif kind == 'holds' then
    redis.call('SET', keys[2], note)
    redis.call('HSET', heads, 'holds', redis.sha1hex(note))
  else
    assert(kind == 'root' or kind == 'directory', 'kind')
    local newest = tonumber(redis.call('HGET', heads, kind) or '0')
    if number <= newest then
      return redis.call('GET', keys[2]) == note and 'same' or 'conflict'
    end
    if number ~= newest + 1 then
      return 'gap'
    end
    redis.call('SET', keys[2], note)
    redis.call('HSET', heads, kind, text(number))
  end
  wake(prefix_of(heads), 'd')
  return 'published'
end

redis.register_function({ function_name = 'publish_3', callback = publish, flags = { 'allow-oom' } })

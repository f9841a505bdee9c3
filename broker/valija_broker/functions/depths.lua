-- depths_3: how full mailboxes are in this shard, for gauges and the console.
--
-- Purpose  One look, no writes. The age is that of the oldest message that waits, by the first of each priority
--          among the ready and by the lease that ends first.
-- KEYS     r:<mailbox>, l:<mailbox>, dead:<mailbox> for each mailbox, 100 mailboxes at most. Also m:<sequence>.
-- ARGV     none
-- Returns  for each mailbox: {ready, leased, dead, acceptance time of the oldest in ms or 0}

local function depths(keys)
  assert(#keys % 3 == 0 and #keys <= 300, 'number of keys')
  local answers = {}
  for n = 1, #keys, 3 do
    local ready, leased, dead = keys[n], keys[n + 1], keys[n + 2]
    local heads = redis.call('ZRANGE', leased, 0, 0)
    for priority = 0, 2 do
      local first = redis.call('ZRANGE', ready, score_of(priority, 0), '(' .. score_of(priority + 1, 0), 'BYSCORE', 'LIMIT', 0, 1)
      heads[#heads + 1] = first[1]
    end
    local oldest = 0
    for _, sequence in ipairs(heads) do
      local time = tonumber(redis.call('HGET', prefix_of(ready) .. 'm:' .. sequence, 'time') or '0') or 0
      if time > 0 and (oldest == 0 or time < oldest) then
        oldest = time
      end
    end
    answers[#answers + 1] = { redis.call('ZCARD', ready), redis.call('ZCARD', leased), redis.call('ZCARD', dead), oldest }
  end
  return answers
end

redis.register_function({ function_name = 'depths_3', callback = depths, flags = { 'no-writes' } })

-- nonce_3: note that a request's nonce was used.
--
-- Purpose  First use is 1, any later one 0. The same call repeated after a lost reply (same `caller`) is 1 again.
-- KEYS     n:<key id>:<nonce>
-- ARGV     caller (random, one a call), time to keep it in ms
-- Returns  1 | 0
-- Flags    allow-oom: acknowledgements carry nonces, and a full memory must drain.

local function nonce(keys, args)
  local known = redis.call('GET', keys[1])
  if known then
    return known == args[1] and 1 or 0
  end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

redis.register_function({ function_name = 'nonce_3', callback = nonce, flags = { 'allow-oom' } })

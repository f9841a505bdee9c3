-- forget_3: remove entries from the outbox, by exact id, once the evidence store holds them.
--
-- Purpose  Never by range: an entry that was not committed elsewhere must outlive every other one.
-- KEYS     outbox
-- ARGV     entry ids, 1,000 at most
-- Returns  how many were removed
-- Flags    allow-oom: a full memory must drain.

local function forget(keys, args)
  assert(#args >= 1 and #args <= 1000, 'number of ids')
  return redis.call('XDEL', keys[1], unpack(args))
end

redis.register_function({ function_name = 'forget_3', callback = forget, flags = { 'allow-oom' } })

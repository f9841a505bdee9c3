-- about_3: which code this is.
--
-- Purpose  The application user may not read the library (FUNCTION LIST is a deploy right), so the library tells
--          its own hash, written into it when it was put together.
-- KEYS     none
-- ARGV     none
-- Returns  {hash of the library's code, data version}

redis.register_function({
  function_name = 'about_3',
  callback = function()
    return { '@CODE_HASH@', DATA_VERSION }
  end,
  flags = { 'no-writes' },
})

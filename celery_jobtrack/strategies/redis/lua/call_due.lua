-- uses: locks
-- Call who may be called now that time has passed, after those whose time at the key has run out have gone.
-- A key in whose line nobody stands is due no more.
-- ARGV: 2 key. Writes the key and its places. Gives who is called.

local key, called, rules = ARGV[2], {}, lock_rules()
rules.timed().drop_overdue(key)
rules.line().call_next(key, called)
if call('EXISTS', root .. ':lw:' .. key) == 0 then call('ZREM', root .. ':ld', key) end
return pack(called)

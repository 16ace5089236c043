-- uses: placement
-- Record a key anew at which somebody stands, file it where it belongs, also by when it is due, and call who may
-- be called.
-- Guard: something of that is missing.
-- ARGV: 2 key. Writes the key, its entries, its places. Gives 1, or 0 if it was well.

local key = ARGV[2]
if #lock_lacks(key) == 0 then return 0 end
rules.save(key, rules.load(key), true)
rules.line().call_next(key, {})  -- whom the checker finds
return 1

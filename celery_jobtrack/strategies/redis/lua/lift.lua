-- uses: gates
-- Take a halt back, and call the first of those who wait at its gate. Guard: it is recorded, and
-- was lifted before if only that is wanted.
-- ARGV: 2 kind and name, 3 how many to call, 4 '1' for only if it was lifted before. Writes :h, which keeps it until nobody waits any more, and places.
-- Gives [whether it held until now, who is called].

local raw = call('HGET', root .. ':h', ARGV[2])
if not raw then return pack({false, {}}) end
local halt = unpacked(raw)
local was_lifted = halt[3]
if ARGV[4] == '1' and not was_lifted then return pack({false, {}}) end
local gates = gate_rules()
local called, more = gates.call_some(gates.key_of(ARGV[2]), tonumber(ARGV[3]))
if not more then
  call('HDEL', root .. ':h', ARGV[2])
elseif not was_lifted then
  halt[3] = true
  call('HSET', root .. ':h', ARGV[2], pack(halt))
end
return pack({not was_lifted, called})

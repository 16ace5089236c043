-- uses: events
-- Record a delivery, and claim what may follow it in the same group. Guard: it was not delivered yet.
-- ARGV: 2 claimant, 3 event. Removes the event. Gives [id, event] of the next one or false.

local raw = call('GET', root .. ':v:' .. ARGV[3])
if not raw then return pack(false) end
local event = unpacked(raw)
remove_event(ARGV[3], event)
return pack(claim_next(event[E.group_id], ARGV[2]))

-- uses: events
-- Record a failed delivery. Guard: the event is pending; one that was given up stays so.
-- ARGV: 2 event, 3 error, 4 microseconds after which it is tried again, or '' to give it up
-- Writes the event, or removes it from what is pending and keeps it with its group.

local raw = call('GET', root .. ':v:' .. ARGV[2])
if not raw then return 0 end
local event = unpacked(raw)
event[E.tries], event[E.error] = (event[E.tries] or 0) + 1, ARGV[3]
if ARGV[4] == '' then
  call('RPUSH', root .. ':gu:' .. event[E.group_id], pack(event))
  call('HINCRBY', root, 'undeliverable', 1)
  remove_event(ARGV[2], event)
else
  event[E.claimed_until] = now + ARGV[4]
  call('SET', root .. ':v:' .. ARGV[2], pack(event))
  call('ZADD', root .. ':vd', event[E.claimed_until], event[E.group_id])
end
return 1

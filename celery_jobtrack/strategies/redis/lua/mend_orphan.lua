-- uses: core
-- Delete what belongs to a record. Guard: that is not there.
-- ARGV: 2 kind of the key, 3 the rest of its name, 4 kind of the record's key. Gives 1, or 0 if it was well.

local key = root .. ':' .. ARGV[2] .. ':' .. ARGV[3]
local owner = ARGV[3]
if ARGV[2] == 'v' then
  local raw = call('GET', key)
  if not raw then return 0 end
  owner = unpacked(raw)[E.group_id]
end
if call('EXISTS', root .. ':' .. ARGV[4] .. ':' .. owner) == 1 then return 0 end
if ARGV[2] == 'v' then
  if call('LREM', root .. ':ge:' .. owner, 1, ARGV[3]) > 0 then call('HINCRBY', root, 'pending', -1) end
  if call('EXISTS', root .. ':ge:' .. owner) == 0 then call('ZREM', root .. ':vd', owner) end
end
local counted = ({ge = 'pending', gu = 'undeliverable'})[ARGV[2]]
if counted and call('LLEN', key) > 0 then call('HINCRBY', root, counted, -call('LLEN', key)) end
if ARGV[2] == 'ge' then call('ZREM', root .. ':vd', owner) end
return call('DEL', key)

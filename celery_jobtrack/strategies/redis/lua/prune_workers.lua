-- uses: workers
-- Remove workers that stopped, or whose lease ended, before a time. Guard: no attempt of theirs is open.
-- ARGV: 2 time, 3 limit. Gives how many were removed.

local before, removed = tonumber(ARGV[2]), 0
local all = call('HGETALL', root .. ':w')
for place = 1, #all, 2 do
  if removed == tonumber(ARGV[3]) then break end
  local worker = unpacked(all[place + 1])
  local gone = worker[W.stopped_at] and math.min(worker[W.stopped_at], worker[W.lease_until])
    or worker[W.lease_until]
  if gone < before and call('EXISTS', root .. ':o:' .. all[place]) == 0 then
    call('HDEL', root .. ':w', all[place])
    removed = removed + 1
  end
end
return removed

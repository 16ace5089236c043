-- uses: placement
-- Put a group into every index where it belongs. Guard: it lacks one.
-- ARGV: 2 group. Writes its entries. Gives 1, or 0 if it was well.

local id = ARGV[2]
if not open_group(id) then return 0 end
local texts = call('GET', root .. ':c:' .. id)
if #group_lacks(id, group, texts) == 0 then return 0 end
call('ZADD', root .. ':G', group[G.seq], id)
if group[G.state] ~= GROUP.COMPLETED then call('ZADD', root .. ':G:' .. group[G.state], group[G.seq], id) end
if group[G.next_check_at] then call('ZADD', root .. ':gd', group[G.next_check_at], id) end
if group[G.completed_at] then call('ZADD', root .. ':go', group[G.completed_at], id) end
if group[G.state] == GROUP.CANCELLED and not group[G.completed_at] then
  call('ZADD', root .. ':gc', group[G.seq], id)
end
local key = texts and unpacked(texts)[1]
if key then call('HSETNX', root .. ':k', key, id) end
return 1

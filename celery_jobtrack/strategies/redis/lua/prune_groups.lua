-- uses: closing
-- Remove groups that completed before a time, with the events that were given up.
-- Guards: no event is pending, no member is left, and what follows the completion is done.
-- ARGV: 2 time, 3 limit, 4 where to begin, 5 how many to look at
-- Gives [how many were removed, where to go on or false].

local limit, begin, budget = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local rows = call('ZRANGEBYSCORE', root .. ':go', '-inf', '(' .. ARGV[2], 'LIMIT', begin, budget)
local removed, kept = 0, 0
for _, id in ipairs(rows) do
  if removed == limit then break end
  open_group(id)
  if group[G.left] > 0 or awaits_closing() or call('EXISTS', root .. ':ge:' .. id) == 1 then
    kept = kept + 1
  else
    local text = unpacked(call('GET', root .. ':c:' .. id))
    local given_up = call('LLEN', root .. ':gu:' .. id)
    -- What frees comes first: a full server takes the rest after it.
    call('DEL', root .. ':g:' .. id, root .. ':c:' .. id, root .. ':gu:' .. id)
    if given_up > 0 then call('HINCRBY', root, 'undeliverable', -given_up) end
    if text[1] then call('HDEL', root .. ':k', text[1]) end
    for _, index in ipairs({':G', ':G:' .. group[G.state], ':gd', ':gc', ':go'}) do
      call('ZREM', root .. index, id)
    end
    removed = removed + 1
  end
end
return pack({removed, #rows == budget and removed < limit and begin + kept})

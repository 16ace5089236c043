-- uses: members
-- Members of a group that have not started or wait for a retry. It goes on where the last call ended,
-- so that a large group is not walked from its beginning again and again.
-- ARGV: 2 group, 3 limit, 4 how many pages at most
-- Writes where it ended. Gives [whether all pages were seen, id, value, id, value, …].

local found = {true}
if not open_group(ARGV[2]) then return pack(found) end
local limit, budget = tonumber(ARGV[3]), tonumber(ARGV[4])
local first, last = 0, math.floor(group[G.members] / C.page)
local page = math.min(group[G.swept] or first, last)
local seen, wanted = 0, last - first + 1
while seen < wanted and #found < 2 * limit and budget > 0 do
  visit_page(page, function(id, state, _, raw)
    local queued = state == STATE.ENQUEUED or state == STATE.RETRY or state == STATE.WAITING
    if queued and #found < 2 * limit then
      found[#found + 1] = id
      found[#found + 1] = raw
    end
  end)
  seen, budget = seen + 1, budget - 1
  if #found < 2 * limit then page = page < last and page + 1 or first end
end
found[1] = seen >= wanted
if found_dropped or page ~= (group[G.swept] or first) then
  group[G.swept] = page
  save_group()
end
return pack(found)

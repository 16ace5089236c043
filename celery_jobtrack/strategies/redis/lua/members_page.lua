-- uses: groups
-- A page of a group's members of all generations, in the order of their recording. Reads only, a bounded
-- number of pages of the index; entries of members that were dropped are passed over.
-- ARGV: 2 group, 3 number of the member to begin at, 4 limit, 5 how many pages to look at
-- Gives [number to go on at or false, id, value, id, value, …].

local found = {false}
if not open_group(ARGV[2]) then return pack(found) end
local begin, limit, budget = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local count = 0
for page = math.floor(begin / C.page), math.floor((group[G.members] - 1) / C.page) do
  if budget == 0 then
    found[1] = page * C.page
    return pack(found)
  end
  budget = budget - 1
  local ids = call('ZRANGE', root .. ':m:' .. group_id .. ':' .. page, 0, -1)
  local keys = {}
  for place, id in ipairs(ids) do keys[place] = root .. ':j:' .. id end
  for place, raw in ipairs(#keys > 0 and call('MGET', unpack(keys)) or {}) do
    local number = raw and unpacked(raw)[3][J.member]
    if number and number >= begin then
      if count == limit then
        found[1] = number
        return pack(found)
      end
      count = count + 1
      found[#found + 1] = ids[place]
      found[#found + 1] = raw
    end
  end
end
return pack(found)

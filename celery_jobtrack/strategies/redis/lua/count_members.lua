-- uses: members
-- Count some pages of the members that a group's totals count. Takes off members that were dropped.
-- ARGV: 2 group, 3 first page or '', 4 how many pages
-- Gives [1, numbers of the group, next page or false, members by state] or [101].

if not open_group(ARGV[2]) then return pack({SAY.unknown_group}) end
local last = math.floor(group[G.members] / C.page)
local page = tonumber(ARGV[3]) or math.floor(group[G.first] / C.page)
local stop = math.min(last, page + ARGV[4] - 1)
local numbers = {0, 0, 0, 0, 0, 0, 0, 0}
for number = page, stop do
  visit_page(number, function(_, state, its)
    if counts(its) then numbers[state] = numbers[state] + 1 end
  end)
end
if found_dropped then save_group() end
return pack({1, pack(group), stop < last and stop + 1, numbers})

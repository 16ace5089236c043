-- uses: placement
-- One group, and some pages of its members that its totals count, by state. Reads only.
-- ARGV: 2 group, 3 first page or '', 4 how many pages
-- Gives [numbers, texts, time, next page or false, members by state, kinds of indexes that lack it,
--        job that stands for it or false, its parent's numbers or false], or [] if it is not there.

if not open_group(ARGV[2]) then return pack({}) end
local raw, texts = call('GET', root .. ':g:' .. group_id), call('GET', root .. ':c:' .. group_id)
local last = math.floor(group[G.members] / C.page)
local page = tonumber(ARGV[3]) or math.floor(group[G.first] / C.page)
local stop = math.min(last, page + ARGV[4] - 1)
local numbers = {0, 0, 0, 0, 0, 0, 0, 0}
for number = page, group[G.completed_at] and -1 or stop do
  local keys = {}
  for index, id in ipairs(call('ZRANGE', root .. ':m:' .. group_id .. ':' .. number, 0, -1)) do
    keys[index] = root .. ':j:' .. id
  end
  for _, job in ipairs(#keys > 0 and call('MGET', unpack(keys)) or {}) do
    if job then
      local _, state, generation = cmsgpack.unpack_limit(job, 2, 1)
      if counts(generation) then numbers[state] = numbers[state] + 1 end
    end
  end
end
local missing = group_lacks(group_id, group, texts)
local parent = texts and unpacked(texts)[5]
return pack({
  raw, texts or false, now, not group[G.completed_at] and stop < last and stop + 1, numbers,
  table.concat(missing, ' '),
  parent and call('GET', root .. ':j:' .. group_id) or false,
  parent and call('GET', root .. ':g:' .. parent) or false,
})

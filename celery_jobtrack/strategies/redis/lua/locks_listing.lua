-- uses: standing
-- A page of keys, by name. Entries of keys of which nothing is known are removed.
-- ARGV: 2 the name after which to go on, with '(' in front, or '-', 3 limit
-- Gives [whether there are more, the name after which to go on or false, {name, what lock.lua gives}, …].

local limit, gone = tonumber(ARGV[3]), {}
local names = call('ZRANGEBYLEX', root .. ':ln', ARGV[2], '+', 'LIMIT', 0, limit + 1)
local found = {#names > limit, #names > 0 and names[math.min(limit, #names)]}
for place = 1, math.min(limit, #names) do
  local its = lock_answer(names[place])
  if its then found[#found + 1] = {names[place], its} else gone[#gone + 1] = names[place] end
end
for _, name in ipairs(gone) do call('ZREM', root .. ':ln', name) end
return pack(found)

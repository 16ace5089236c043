-- uses: core
-- A group's numbers, in one read whatever its size. ARGV: 2 group. Gives [numbers, texts, time] or [].

local raw = call('GET', root .. ':g:' .. ARGV[2])
if not raw then return pack({}) end
return pack({raw, call('GET', root .. ':c:' .. ARGV[2]), now})

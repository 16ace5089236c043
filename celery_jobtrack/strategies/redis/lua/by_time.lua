-- uses: core
-- Jobs of an index by time, the earliest first, up to a time. Reads only.
-- ARGV: 2 index, 3 time before which, or '' for now, 4 limit. Gives [id, job, id, job, …].

local before = ARGV[3] ~= '' and ARGV[3] or string.format('%.0f', now)
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', root .. ARGV[2], '-inf', '(' .. before, 'LIMIT', 0, ARGV[4])) do
  found[#found + 1] = id
  found[#found + 1] = call('GET', root .. ':j:' .. id)
end
return pack(found)

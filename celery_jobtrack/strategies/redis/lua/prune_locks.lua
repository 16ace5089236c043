-- uses: core
-- Delete keys at which nobody has stood for a while. An entry of a key at which somebody stands again is
-- removed: whoever leaves it last files it anew.
-- ARGV: 2 time, 3 limit, 4 how many to look at. Gives [how many were deleted, whether there may be more].

local removed, limit = 0, tonumber(ARGV[3])
local keys = call('ZRANGEBYSCORE', root .. ':lt', '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[4])
for _, key in ipairs(keys) do
  if removed == limit then break end
  if call('EXISTS', root .. ':lh:' .. key, root .. ':lw:' .. key) == 0 then
    removed = removed + call('DEL', root .. ':lk:' .. key)
    call('ZREM', root .. ':ln', key)
  end
  call('ZREM', root .. ':lt', key)
end
return pack({removed, #keys == tonumber(ARGV[4])})

-- uses: core
-- Delete keys at which nobody has stood for a while. An entry of a key at which somebody stands again is
-- removed: whoever leaves it last files it anew. That of a rate not at rest is filed by the time when it
-- will be.
-- ARGV: 2 time, 3 limit, 4 how many to look at. Gives [how many were deleted, whether there may be more].

local removed, limit, before = 0, tonumber(ARGV[3]), tonumber(ARGV[2])
local keys = call('ZRANGEBYSCORE', root .. ':lt', '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[4])
for _, key in ipairs(keys) do
  if removed == limit then break end
  local raw = call('GET', root .. ':lk:' .. key)
  local lock = raw and unpacked(raw) or {}
  if call('EXISTS', root .. ':lh:' .. key, root .. ':lw:' .. key) > 0 then
    call('ZREM', root .. ':lt', key)
  elseif lock[L.next_at] and lock[L.next_at] >= before then
    call('ZADD', root .. ':lt', lock[L.next_at], key)
  else
    removed = removed + call('DEL', root .. ':lk:' .. key)
    call('ZREM', root .. ':ln', key)
    call('ZREM', root .. ':lt', key)
  end
end
return pack({removed, #keys == tonumber(ARGV[4])})
